"""A request somebody changed on the way never verifies, wherever the change is."""

from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import sigv4
from sigv4 import canonical
from tests.sigv4.support import NOW, botocore_presigned, botocore_signed, judge

HEADER = botocore_signed(
    "PUT",
    "/bucket/a%20key?partNumber=2&uploadId=x%2Fy",
    {"x-amz-meta-a": "one  two", "Content-Type": "text/plain"},
    b"body",
)
URL = botocore_presigned("GET", "/bucket/a%20key?versionId=7", {"x-amz-meta-a": "one two"})
BYTES = st.integers(0x21, 0x7E)


def meaning(request):
    """What a server acts on: two requests of one meaning may both verify."""
    headers = {}
    for name, value in request.headers:
        headers.setdefault(name, []).append(b" ".join(value.split()))
    authorization = headers.pop(b"authorization", [b""])[0].replace(b" ", b"")
    query = sorted(
        (canonical.query_decode(name), canonical.query_decode(value))
        for name, value in canonical.split_query(request.raw_query)
    )
    return request.method, canonical.percent_decode(request.raw_path), query, headers, authorization


def changed(data: bytes, index: int, byte: int, *, insert: bool) -> bytes:
    index %= len(data) + 1
    return data[:index] + bytes((byte,)) + data[index if insert else index + 1 :]


@settings(max_examples=600, deadline=None)
@given(
    st.sampled_from([HEADER, URL]),
    st.sampled_from(["path", "query", "value", "name", "method"]),
    st.integers(0, 20),
    st.integers(0, 400),
    BYTES,
    st.booleans(),
)
def test_mutated_request_never_verifies(request_, part, which, index, byte, insert):
    signed_names = sigv4.parse(request_, region="us-east-1", now=NOW)
    assert signed_names is not None
    names = {*signed_names.signed_headers, b"authorization"}
    if part == "path":
        mutated = replace(request_, raw_path=changed(request_.raw_path, index, byte, insert=insert))
    elif part == "query":
        mutated = replace(request_, raw_query=changed(request_.raw_query, index, byte, insert=insert))
    elif part == "method":
        mutated = replace(request_, method=("GET", "PUT", "HEAD", "POST", "DELETE")[which % 5])
    else:
        candidates = [at for at, (name, _) in enumerate(request_.headers) if name in names]
        at = candidates[which % len(candidates)]
        name, value = request_.headers[at]
        if part == "value":
            value = changed(value, index, byte, insert=insert)
        else:
            name = changed(name, index, byte, insert=insert).lower()
        headers = list(request_.headers)
        headers[at] = (name, value)
        mutated = replace(request_, headers=tuple(headers))
    assume(meaning(mutated) != meaning(request_))
    try:
        signed = sigv4.parse(mutated, region="us-east-1", now=NOW)
    except sigv4.SignatureError:
        return
    if signed is None:
        return  # anonymous: has no rights but those of nobody
    with pytest.raises(sigv4.SignatureError):
        judge(mutated)
