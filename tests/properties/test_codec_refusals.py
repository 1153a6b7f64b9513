"""Whatever is sent, the codec answers with an input or a StorageError of a 4xx status: never another exception."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.context import ObjectAddress
from gateway.errors import StorageError
from gateway.operations import shapes
from gateway.s3 import model
from gateway.s3.codec import compile_codecs, effective_headers
from gateway.s3.model import Body, Location
from gateway.wire.request import RawRequest

MODELS = model.load()
CODECS = compile_codecs(MODELS)
DOCUMENTS = sorted(name for name in shapes.INPUTS if MODELS[name].body is Body.XML)

# Fragments that parsers of numbers, dates, lists and paths stumble over.
_AWKWARD = st.sampled_from(
    [
        b"", b" ", b"0", b"-0", b"+1", b"1e9", b"9" * 400, b"NaN", b"true ", b"\xd9\xa3", b"\xff\xfe", b"%", b"%00",
        b"a/b", b"/a", b"//", b"a/b?versionId=", b"?versionId=x", b"\x00", b"\r\n", b"\xe2\x80\xae", b",", b"*", b'""',
        b"Mon, 99 Foo 0000 99:99:99 +9999", b"0001-01-01T00:00:00+23:59", b"9999-12-31T23:59:59-23:59", b"2026-02-30",
        b"99999999999", b"Thu, 01 Jan 1970 00:00:00 -0000", b"Sat, 21 Nov 99999 09:25:13 GMT", b"; ; ;",
    ]
)  # fmt: skip
_VALUES = _AWKWARD | st.binary(max_size=30)
_NODES = st.recursive(
    st.text(max_size=6).map(lambda text: text.replace("&", "&amp;").replace("<", "&lt;")),
    lambda inner: st.builds(
        lambda name, parts: f"<{name}>{''.join(parts)}</{name}>",
        st.sampled_from(["Object", "Key", "Part", "PartNumber", "ETag", "Quiet", "Size", "Tags", "Tag", "Bucket", "x"]),
        st.lists(inner, max_size=4),
    ),
    max_leaves=12,
)


@pytest.mark.parametrize("name", sorted(shapes.INPUTS))
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_head_is_read_or_refused(name: str, data: st.DataObject) -> None:
    codec = CODECS[name]
    members: list[Any] = [m for m in codec.model.input.members if m.location in (Location.HEADER, Location.QUERY)]
    chosen = data.draw(st.lists(st.sampled_from(members), unique_by=lambda m: m.name)) if members else []
    headers, query = [(b"host", b"h"), (b"x-amz-meta-a", data.draw(_VALUES))], []
    for member in chosen:
        value = data.draw(_VALUES)
        if member.location is Location.HEADER:
            headers.append((member.wire_name.lower().encode("ascii"), value))
        else:
            query.append(member.wire_name.encode("ascii") + b"=" + b"".join(b"%%%02x" % byte for byte in value))
    scope = {
        "method": codec.model.method,
        "scheme": "http",
        "raw_path": b"/bucket/key",
        "query_string": b"&".join(query),
        "headers": headers,
        "client": None,
    }
    try:
        request = RawRequest.from_scope(scope, "R")
        fields = codec.read_head(request, ObjectAddress("bucket", "key"), effective_headers(request))
    except StorageError as error:
        status = error.code.status
    else:
        status = 200
        if codec.model.body is Body.NONE:
            assert isinstance(codec.build(fields), shapes.INPUTS[name])
    assert status == 200 or 400 <= status < 500


@pytest.mark.parametrize("name", DOCUMENTS)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_document_is_read_or_refused(name: str, data: st.DataObject) -> None:
    codec = CODECS[name]
    payload = next(m for m in codec.model.input.members if m.name == codec.model.input.payload)
    parts = "".join(data.draw(st.lists(_NODES, max_size=4)))
    document = data.draw(
        st.just(f"<{payload.wire_name}>{parts}</{payload.wire_name}>".encode()) | st.binary(max_size=60)
    )
    try:
        fields = codec.read_document(document)
    except StorageError as error:
        codes = {error.code.name}
    else:
        codes = set()
        assert set(fields) <= {payload.field}
    assert codes <= {"MalformedXML", "MissingRequestBodyError"}
