"""The dataclasses of ``operations.shapes`` against S3's own model, member by member."""

import dataclasses
import typing
from collections.abc import Iterator, Mapping
from datetime import datetime

import pytest
from botocore.loaders import Loader

from gateway.operations import shapes
from gateway.s3 import model
from gateway.s3.model import Kind, Location, Member, Shape, field_name
from gateway.s3.xml import dataclass_of
from gateway.wire.addressing import CopySource
from gateway.wire.body import BodyStream

MODELS = model.load()
RAW = Loader().load_service_model("s3", "service-2")
SCALARS: Mapping[Kind, type] = {
    Kind.STRING: str,
    Kind.INTEGER: int,
    Kind.BOOLEAN: bool,
    Kind.TIMESTAMP: datetime,
}


class BlobReader:
    """Stands for the protocol of that name, which the shapes import for type checkers only."""


def structures(shape: Shape) -> Iterator[Shape]:
    for member in shape.members:
        inner = member.shape.item if member.shape.item is not None else member.shape
        if inner.kind is Kind.STRUCTURE:
            yield inner
            yield from structures(inner)


def nested() -> list[Shape]:
    found = {}
    for name in shapes.INPUTS:
        for side in (MODELS[name].input, MODELS[name].output):
            found.update({shape.name: shape for shape in structures(side)})
    return [found[name] for name in sorted(found)]


def expected_type(member: Member) -> object:
    shape = member.shape
    if shape.name == "CopySource":
        return CopySource
    if shape.kind is Kind.BLOB:
        return BodyStream
    if shape.kind is Kind.MAP:
        return Mapping[str, str]
    if shape.kind is Kind.LIST:
        assert shape.item is not None
        inner = dataclass_of(shape.item) if shape.item.kind is Kind.STRUCTURE else SCALARS[shape.item.kind]
        return tuple[inner, ...]
    return dataclass_of(shape) if shape.kind is Kind.STRUCTURE else SCALARS[shape.kind]


def check(record: type, shape: Shape, *, answer: bool = False) -> None:
    hints = typing.get_type_hints(record, localns={"BlobReader": BlobReader, "BodyStream": BodyStream})
    assert set(hints) == {member.field for member in shape.members}
    if dataclasses.is_dataclass(record):
        defaults = {f.name: f.default for f in dataclasses.fields(record)}
        factories = {f.name: f.default_factory for f in dataclasses.fields(record)}
    else:  # a named tuple: entries of listings, which are made by the thousand
        defaults, factories = record._field_defaults, {}
    for member in shape.members:
        of, hint = expected_type(member), hints[member.field]
        if member.shape.kind is Kind.BLOB:
            assert hint == (BlobReader | None if answer else BodyStream)
        elif member.required:
            assert hint == of
            assert defaults[member.field] is dataclasses.MISSING
        elif member.shape.kind is Kind.MAP:
            assert hint == of
            assert factories[member.field] is dict
        elif member.shape.flattened or (member.shape.kind is Kind.LIST and member.location is Location.HEADER):
            assert (hint, defaults[member.field]) == (of, ())
        else:
            assert (hint, defaults[member.field]) == (of | None, None)


@pytest.mark.parametrize("name", sorted(shapes.INPUTS))
def test_input_has_every_member_of_the_model(name: str) -> None:
    check(shapes.INPUTS[name], MODELS[name].input)
    shape = RAW["operations"][name]["input"]["shape"]
    names = {*RAW["shapes"][shape]["members"], *(extra for extra, _ in model.EXTRA_MEMBERS.get(shape, ()))}
    assert {field_name(member) for member in names} == {f.name for f in dataclasses.fields(shapes.INPUTS[name])}


@pytest.mark.parametrize("name", sorted(shapes.OUTPUTS))
def test_output_has_every_member_of_the_model(name: str) -> None:
    check(shapes.OUTPUTS[name], MODELS[name].output, answer=True)


@pytest.mark.parametrize("shape", nested(), ids=lambda shape: shape.name)
def test_structure_has_every_member_of_the_model(shape: Shape) -> None:
    check(dataclass_of(shape), shape)


def test_inputs_and_outputs_cover_the_same_operations() -> None:
    assert shapes.INPUTS.keys() == shapes.OUTPUTS.keys()
    assert shapes.INPUTS.keys() <= MODELS.keys()


@pytest.mark.parametrize(
    ("member", "field"),
    [
        ("ETag", "etag"),
        ("ID", "id"),
        ("MFADelete", "mfa_delete"),
        ("SSECustomerKeyMD5", "sse_customer_key_md5"),
        ("SSEKMSKeyId", "sse_kms_key_id"),
        ("ChecksumCRC64NVME", "checksum_crc64nvme"),
        ("ContentMD5", "content_md5"),
        ("IfNoneMatch", "if_none_match"),
        ("And", "and_"),
        ("CORSRules", "cors_rules"),
        ("CopySourceIfMatch", "copy_source_if_match"),
    ],
)
def test_field_names_are_snake_case_of_the_model(member: str, field: str) -> None:
    assert field_name(member) == field
