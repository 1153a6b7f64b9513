"""Records made by the quick initialiser are what dataclasses would have made of them."""

import copy
import dataclasses
import pickle
from collections.abc import Mapping

import pytest

from gateway.frozen import quick
from gateway.operations import shapes


@quick
@dataclasses.dataclass(frozen=True, slots=True)
class Point:
    """A record with every kind of field."""

    x: int
    y: int = 2
    tags: Mapping[str, str] = dataclasses.field(default_factory=dict)
    unit: str = dataclasses.field(default="m", kw_only=True)
    fixed: str = dataclasses.field(default="f", init=False)
    total: int = dataclasses.field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "total", self.x + self.y)


def test_fields_defaults_and_what_is_computed() -> None:
    point = Point(1)
    assert (point.x, point.y, point.tags, point.unit, point.fixed, point.total) == (1, 2, {}, "m", "f", 3)
    assert Point(1, 5, unit="km") == Point(x=1, y=5, tags={}, unit="km")
    assert repr(point) == "Point(x=1, y=2, tags={}, unit='m', fixed='f', total=3)"
    assert type(point) is Point


def test_default_factory_makes_one_each() -> None:
    assert Point(1).tags is not Point(1).tags


def test_record_is_frozen() -> None:
    point = Point(1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        point.x = 2  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        del point.x


def test_replace_copy_and_pickle() -> None:
    point = dataclasses.replace(Point(1), y=7)
    assert point.total == 8
    assert copy.copy(point) == point == pickle.loads(pickle.dumps(point))  # noqa: S301 - its own bytes


@pytest.mark.parametrize(
    "make", [lambda: Point(), lambda: Point(1, 2, {}, "km"), lambda: Point(1, z=3), lambda: Point(1, fixed="g")]
)
def test_wrong_arguments(make) -> None:
    with pytest.raises(TypeError):
        make()


def test_class_it_cannot_serve() -> None:
    @dataclasses.dataclass(frozen=True)
    class NoSlots:
        x: int

    @dataclasses.dataclass(frozen=True, slots=True)
    class Derived(NoSlots):
        y: int

    @dataclasses.dataclass(frozen=True, slots=True)
    class WithInitVar:
        x: int
        y: dataclasses.InitVar[int]

    for unfit in (NoSlots, Derived, WithInitVar):
        with pytest.raises(TypeError):
            quick(unfit)


@pytest.mark.parametrize("shape", sorted({*shapes.INPUTS.values(), *shapes.OUTPUTS.values()}, key=lambda s: s.__name__))
def test_every_shape_has_the_defaults_it_declares(shape) -> None:
    required = {
        field.name: field.name
        for field in dataclasses.fields(shape)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }
    made = shape(**required)
    for field in dataclasses.fields(shape):
        value = getattr(made, field.name)
        if field.name in required:
            assert value == field.name
        elif field.default_factory is not dataclasses.MISSING:
            assert value == field.default_factory()
        else:
            assert value == field.default
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(made, field.name, value)
