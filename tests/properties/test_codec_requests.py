"""Requests that botocore's own serialiser builds are read back as the values it was given, for every operation."""

from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from botocore.awsrequest import create_request_object, prepare_request_dict
from botocore.loaders import Loader
from botocore.model import OperationModel, ServiceModel
from botocore.serialize import create_serializer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.operations import shapes
from gateway.s3 import model
from gateway.s3.codec import compile_codecs, effective_headers
from gateway.s3.model import Body, Location
from gateway.s3.router import Router
from gateway.wire.addressing import CopySource, resolve
from gateway.wire.request import RawRequest

from .s3_values import BUCKETS, KEYS, XML_TEXT, as_botocore, records

MODELS = model.load()
CODECS = compile_codecs(MODELS)
ROUTER = Router(MODELS)
SERVICE = ServiceModel(Loader().load_service_model("s3", "service-2"), "s3")
SERIALIZER = create_serializer("rest-xml", include_validation=False)


def copy_source_text(source: CopySource) -> str:
    version = f"?versionId={source.version_id}" if source.version_id is not None else ""
    return f"{source.bucket}/{quote(source.key)}{version}"


def sent(operation: OperationModel, parameters: dict[str, Any]) -> tuple[RawRequest, bytes]:
    """The request botocore would send, as our server sees it, and its body."""
    built = SERIALIZER.serialize_to_request(parameters, operation)
    prepare_request_dict(built, endpoint_url="http://127.0.0.1:9000")
    request = create_request_object(built).prepare()
    url = urlsplit(request.url)
    body = request.body or b""
    headers = [(b"host", b"127.0.0.1:9000")]
    for name, value in request.headers.items():
        raw = value if isinstance(value, bytes) else str(value).encode("utf-8")
        if name.lower() not in ("content-length", "host", "transfer-encoding"):
            headers.append((name.lower().encode("ascii"), raw))
    scope = {
        "method": request.method,
        "scheme": "http",
        "raw_path": url.path.encode("ascii"),
        "query_string": url.query.encode("ascii"),
        "headers": headers,
        "client": None,
    }
    document = body.encode("utf-8") if isinstance(body, str) else bytes(body)
    # botocore escapes carriage returns in a handler after its serialiser (handlers.escape_xml_payload).
    return RawRequest.from_scope(scope, "R"), document.replace(b"\r", b"&#xD;")


@pytest.mark.parametrize("name", sorted(shapes.INPUTS))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_request_round_trip(name: str, data: st.DataObject) -> None:
    codec = CODECS[name]
    fixed: dict[str, Any] = {codec.stream_field: b"bytes"} if codec.model.body is Body.STREAM else {}
    for member in codec.model.input.members:
        if member.location is Location.URI:
            fixed[member.field] = data.draw(BUCKETS if member.name == "Bucket" else KEYS)
        elif member.name == "ContentLength":
            fixed[member.field] = None
        elif codec.model.body is Body.TEXT and member.name == codec.model.input.payload:
            # Text that is no XML, of which nothing is escaped; blank it would count as missing.
            fixed[member.field] = data.draw(XML_TEXT.filter(lambda text: text.strip() != "" and "\r" not in text))
    wanted = data.draw(records(codec.model.input, shapes.INPUTS[name], **fixed))
    parameters = as_botocore(codec.model.input, wanted)
    if isinstance(parameters.get("CopySource"), CopySource):
        parameters["CopySource"] = copy_source_text(parameters["CopySource"])

    request, body = sent(SERVICE.operation_model(name), parameters)
    address = resolve(request, None)
    headers = effective_headers(request)
    assert ROUTER.match(request.method, address, request.query, headers).name == name

    fields = codec.read_head(request, address, headers)
    if codec.model.body is Body.STREAM:
        fields[codec.stream_field] = b"bytes"
    elif codec.model.body is not Body.NONE:
        fields |= codec.read_document(body)
    assert codec.build(fields) == wanted
