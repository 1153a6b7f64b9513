"""Every name that PutObjectAnnotation accepts comes back from a listing as it was, whatever characters it has."""

from datetime import UTC, datetime

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from lxml import etree

from gateway.errors import StorageError
from gateway.operations import annotations, shapes
from gateway.operations.tokens import decode_token, encode_token
from gateway.s3 import model
from gateway.s3.codec import OperationCodec

CODEC = OperationCodec(model.load()["ListObjectAnnotations"])
TEXT = st.text(st.characters(codec="utf-8"), max_size=40)


def refusal(name: str) -> str | None:
    """The code a name is refused with."""
    try:
        annotations._require_name(name)
    except StorageError as error:
        return error.code.name
    return None


@settings(max_examples=50)
@given(name=TEXT)
def test_accepted_names_survive_a_listing(name: str) -> None:
    assume(refusal(name) is None)
    entry = shapes.AnnotationEntry(annotation_name=name, last_modified=datetime.now(UTC), size=1, etag="e")
    answer = CODEC.render(shapes.ListObjectAnnotationsOutput(annotations=(entry,), bucket="b", key="k"))
    assert isinstance(answer.body, bytes)
    assert etree.fromstring(answer.body).findtext(".//{*}AnnotationName") == name
    assert decode_token(encode_token(name)) == name


@settings(max_examples=50)
@given(name=st.one_of(TEXT, st.sampled_from(["ü", "x", "😀"]).flatmap(lambda c: st.integers(100, 600).map(c.__mul__))))
def test_names_are_measured_in_bytes(name: str) -> None:
    code = refusal(name)
    assert (code == "AnnotationNameTooLong") == (len(name.encode()) > 512)
    if code is None:
        assert name
        assert not name.lower().startswith(("aws", "s3"))


@pytest.mark.parametrize("name", ["caption", "légende", "a b", "x/y", "s-3", "as3", "😀"])
def test_ordinary_names_are_accepted(name: str) -> None:
    assert refusal(name) is None
