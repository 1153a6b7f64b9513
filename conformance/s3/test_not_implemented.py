"""Every operation of S3's model that has no handler answers NotImplemented and touches nothing.

The worst answer is a neighbour's: ``PUT /b/k?tagging`` that overwrites the object, ``DELETE /b?policy`` that deletes
the bucket, ``GET /b?inventory`` that lists it.
"""

import base64
import hashlib
from dataclasses import dataclass
from typing import Any

import botocore.session
import pytest

from conformance.expect import keys_of, read
from conformance.rawhttp import RawClient
from conformance.s3.operations import SERVED, SHADOWED
from conformance.server import RunningServer

BODY = b"<Nonsense/>"


@dataclass(frozen=True, slots=True)
class ModelOperation:
    """One operation of the model as a request."""

    name: str
    method: str
    path: str
    headers: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return self.name


def unserved_operations() -> list[ModelOperation]:
    """All operations without handler, addressed at ``{bucket}`` and key ``k``, with their fixed query and headers."""
    model = botocore.session.get_session().get_service_model("s3")
    found: list[ModelOperation] = []
    for name in sorted(set(model.operation_names) - SERVED - SHADOWED):
        operation = model.operation_model(name)
        uri: str = operation.http["requestUri"]
        path = uri.replace("{Bucket}", "{bucket}").replace("{Key+}", "k")
        required = set(operation.input_shape.required_members) if operation.input_shape else set()
        for member, shape in (operation.input_shape.members if operation.input_shape else {}).items():
            if member in required and shape.serialization.get("location") == "querystring":
                path += f"{'&' if '?' in path else '?'}{shape.serialization['name']}=x"
        found.append(ModelOperation(name, operation.http["method"], path))
    return found


@pytest.fixture
def held(s3: Any, bucket: str) -> str:
    """A bucket that holds ``k``."""
    s3.put_object(Bucket=bucket, Key="k", Body=b"v", Metadata={"a": "1"}, ContentType="text/plain")
    return bucket


@pytest.mark.parametrize("operation", unserved_operations(), ids=str)
def test_operation_without_handler(
    s3: Any, raw: RawClient, server: RunningServer | None, held: str, operation: ModelOperation
) -> None:
    writes = operation.method in {"PUT", "POST"}
    body = BODY if writes else b""
    md5 = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
    headers = {"Content-MD5": md5, "Content-Type": "application/xml"} if writes else {}
    answer = raw(operation.method, operation.path.format(bucket=held), headers, body)

    if server is not None:
        assert answer.refusal() == (501, "NotImplemented")
    assert answer.status < 500 or answer.refusal() == (501, "NotImplemented")
    if answer.status == 200 and answer.body.startswith(b"<"):
        assert answer.xml.tag not in {"ListBucketResult", "ListAllMyBucketsResult"}, "a neighbour answered"
    assert answer.body != b"v", "GetObject answered"
    assert keys_of(s3, held) == ["k"]
    assert read(s3, held, "k") == b"v"
    head = s3.head_object(Bucket=held, Key="k")
    assert (head["Metadata"], head["ContentType"]) == ({"a": "1"}, "text/plain")


@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "DELETE"])
@pytest.mark.parametrize("address", ["/{0}?madeUpSubresource", "/{0}/k?madeUpSubresource"])
def test_unknown_query_parameter_is_never_another_operation(
    s3: Any, raw: RawClient, held: str, method: str, address: str
) -> None:
    """AWS ignores unknown parameters; deleting or emptying anything because of one would be wrong either way."""
    if method == "DELETE" or (method == "PUT" and "/k" in address):
        pytest.skip("an unknown parameter on DeleteObject, DeleteBucket or PutObject is ignored by AWS")
    answer = raw(method, address.format(held))
    assert answer.status < 500 or answer.refusal() == (501, "NotImplemented")
    assert read(s3, held, "k") == b"v"


@pytest.mark.parametrize(
    ("method", "address"),
    [
        ("PUT", "/{0}/k?tagging&acl"),
        ("PUT", "/{0}/k?uploads"),
        ("PUT", "/{0}/k?uploadId=x"),
        ("PUT", "/{0}/k?partNumber=1"),
        ("DELETE", "/{0}/k?tagging&uploadId=x"),
        ("DELETE", "/{0}?policy&cors"),
        ("POST", "/{0}/k?delete"),
        ("POST", "/{0}?uploads"),
        ("PUT", "/{0}?delete"),
        ("DELETE", "/{0}?uploads"),
        ("DELETE", "/{0}?location"),
        ("DELETE", "/{0}?versioning"),
        ("DELETE", "/{0}?acl"),
        ("DELETE", "/{0}/k?acl"),
        ("PUT", "/{0}/k?attributes"),
        ("PUT", "/{0}/k?torrent"),
    ],
)
def test_operation_that_does_not_exist(s3: Any, raw: RawClient, held: str, method: str, address: str) -> None:
    answer = raw(method, address.format(held), body=BODY if method in {"PUT", "POST"} else b"")
    assert 400 <= answer.status <= 501
    assert answer.status < 500 or answer.refusal() == (501, "NotImplemented")
    assert keys_of(s3, held) == ["k"]
    assert read(s3, held, "k") == b"v"
