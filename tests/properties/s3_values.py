"""Strategies for the members of S3's model, used from both sides of the wire: as botocore gives them and as ours."""

from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from gateway.s3.model import EXTRA_MEMBERS, OPAQUE_TEXT, Kind, Location, Member, Shape
from gateway.s3.xml import dataclass_of
from gateway.wire.addressing import CopySource
from gateway.wire.headers import http_date

_PRINTABLE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=20)
HEADER_TEXT = _PRINTABLE
QUERY_TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x00"), min_size=1, max_size=20)
# What XML 1.0 can hold; a lone carriage return survives as a reference.
XML_TEXT = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff", include_characters="\t\n\r"),
    max_size=20,
)
ETAGS = st.text("0123456789abcdef-", min_size=1, max_size=40)
SECONDS = st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1), timezones=st.just(UTC)).map(
    lambda instant: instant.replace(microsecond=0)
)
METADATA = st.dictionaries(
    st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=10), HEADER_TEXT, max_size=4
)
_BUCKETS = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=3, max_size=20)
KEYS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x00"), min_size=1, max_size=20).filter(
    lambda key: key not in (".", "..")
)
BUCKETS = _BUCKETS
COPY_SOURCES = st.builds(CopySource, _BUCKETS, KEYS, st.none() | st.text("abcdef0123456789", min_size=1, max_size=8))

_SMALL_INTEGERS = {"partNumber": 10_000, "max-buckets": 10_000, "PartNumber": 10_000, "max-annotation-results": 1000}


def values(member: Member) -> st.SearchStrategy[Any]:
    """Values of one member in our form; absent ones are the caller's affair."""
    shape = member.shape
    if shape.name == "CopySource":
        return COPY_SOURCES
    if shape.kind is Kind.MAP:
        return METADATA
    if shape.name in OPAQUE_TEXT:
        # botocore insists on a date where S3 takes any text.
        return SECONDS.map(http_date)
    if member.wire_name in _SMALL_INTEGERS:
        return st.integers(1, _SMALL_INTEGERS[member.wire_name])
    return in_body(shape) if member.location is Location.BODY else _on_one_line(member)


def _on_one_line(member: Member) -> st.SearchStrategy[Any]:
    shape = member.shape
    text = QUERY_TEXT if member.location is Location.QUERY else HEADER_TEXT
    if member.location is Location.QUERY and member.wire_name.startswith("response-"):
        text = HEADER_TEXT
    if shape.kind is Kind.LIST:
        assert shape.item is not None
        words = st.sampled_from(sorted(shape.item.enum)) if shape.item.enum else HEADER_TEXT
        return st.lists(words, min_size=1, max_size=3).map(tuple)
    return _scalar(shape, text)


def _scalar(shape: Shape, text: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    if shape.enum:
        return st.sampled_from(sorted(shape.enum))
    if shape.name == "ETag":
        return ETAGS
    match shape.kind:
        case Kind.INTEGER:
            return st.integers(0, shape.maximum)
        case Kind.BOOLEAN:
            return st.booleans()
        case Kind.TIMESTAMP:
            return SECONDS
    return text


def in_body(shape: Shape) -> st.SearchStrategy[Any]:
    """Values of a shape in an XML document."""
    if shape.kind is Kind.LIST:
        assert shape.item is not None
        return st.lists(in_body(shape.item), min_size=1 if shape.flattened else 0, max_size=3).map(tuple)
    if shape.kind is Kind.STRUCTURE:
        return records(shape, dataclass_of(shape))
    if shape.name == "ObjectKey":
        return XML_TEXT.filter(bool)
    return _scalar(shape, XML_TEXT)


@st.composite
def records(draw: st.DrawFn, shape: Shape, build: Any, **given: Any) -> Any:
    """A dataclass of ours with any of its optional members that botocore knows. ``given`` fixes fields."""
    fields = dict(given)
    ours = {name for name, _ in EXTRA_MEMBERS.get(shape.name, ())}
    for member in shape.members:
        if member.name in ours or member.field in fields:
            continue
        if member.required or draw(st.integers(0, 3)) == 0:
            fields[member.field] = draw(values(member))
    return build(**fields)


def as_botocore(shape: Shape, value: Any) -> Any:
    """Our value as the dictionaries botocore takes and gives; absent members are left out."""
    if isinstance(value, CopySource):
        return value
    if shape.kind is Kind.STRUCTURE:
        found = {m.name: (m.shape, getattr(value, m.field)) for m in shape.members}
        return {
            name: as_botocore(inner, part)
            for name, (inner, part) in found.items()
            if part is not None and not (inner.flattened and part == ())
        }
    if shape.kind is Kind.LIST:
        assert shape.item is not None
        return [as_botocore(shape.item, item) for item in value]
    return dict(value) if shape.kind is Kind.MAP else value
