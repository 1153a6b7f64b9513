"""Answers that our serialiser writes are read by botocore's own parser as equal values, for every operation."""

from dataclasses import replace
from typing import Any
from urllib.parse import unquote_plus

import pytest
from botocore.awsrequest import HeadersDict
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.parsers import create_parser
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.operations import shapes
from gateway.s3 import model
from gateway.s3.codec import compile_codecs
from gateway.s3.model import UNQUOTED_ETAG, Kind, Shape

from .s3_values import as_botocore, in_body, records

MODELS = model.load()
CODECS = compile_codecs(MODELS)
SERVICE = ServiceModel(Loader().load_service_model("s3", "service-2"), "s3")
PARSER = create_parser("rest-xml")
# Its root element holds the value itself; botocore reads it with a handler of its own (tests/unit/s3/test_codec.py).
NAMES = sorted(shapes.OUTPUTS.keys() - {"GetBucketLocation"})


def quoted(shape: Shape, value: Any) -> Any:
    """botocore's form of the value with quotes around every entity tag."""
    if shape.kind is Kind.STRUCTURE:
        inner = {m.name: m.shape for m in shape.members}
        return {name: quoted(inner[name], part) for name, part in value.items()}
    if shape.kind is Kind.LIST:
        assert shape.item is not None
        return [quoted(shape.item, item) for item in value]
    return f'"{value}"' if shape.name == "ETag" else value


def codec_streams(name: str) -> bool:
    return any(m.name == MODELS[name].output.payload and m.shape.kind is Kind.BLOB for m in MODELS[name].output.members)


def parsed(name: str, output: object) -> dict[str, Any]:
    answer = CODECS[name].render(output)
    headers = HeadersDict()
    for key, value in answer.headers:
        headers[key.decode("ascii")] = value.decode("utf-8")
    response = {"status_code": answer.status, "headers": headers, "body": answer.body}
    found: dict[str, Any] = PARSER.parse(response, SERVICE.operation_model(name).output_shape)
    del found["ResponseMetadata"]
    return found


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_answer_round_trip(name: str, data: st.DataObject) -> None:
    shape = MODELS[name].output
    fixed: dict[str, Any] = {}
    for member in shape.members:
        if member.shape.kind is Kind.BLOB or member.name == "EncodingType":
            fixed[member.field] = None
        elif member.name == "Expires":
            # botocore gives up on dates it cannot read, so only the absence can be compared.
            fixed[member.field] = None
        elif member.name == shape.payload:
            fixed[member.field] = data.draw(in_body(member.shape))
    output = data.draw(records(shape, shapes.OUTPUTS[name], **fixed))

    expected = as_botocore(shape, output)
    if name not in UNQUOTED_ETAG:
        expected = quoted(shape, expected)
    found = parsed(name, output)
    if codec_streams(name):
        found.pop(shape.payload, None)
    assert found == expected


@settings(max_examples=50, deadline=None)
@given(keys=st.lists(st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x00"), min_size=1)))
def test_url_encoded_listing_gives_any_key_back(keys: list[str]) -> None:
    """Control characters, plus signs, percent signs: with encoding-type=url a client gets the very key."""
    contents = tuple(shapes.S3Object(key=key) for key in keys)
    output = shapes.ListObjectsV2Output(contents=contents, encoding_type="url")
    found = parsed("ListObjectsV2", output)
    assert [unquote_plus(item["Key"]) for item in found.get("Contents", [])] == keys
    assert replace(output, encoding_type=None).contents == contents
