"""Which operation a request is; above all, that no sub-resource ever runs the operation underneath it."""

from pathlib import Path

import pytest

from gateway.context import Address, BucketAddress, ObjectAddress, ServiceAddress
from gateway.errors import StorageError
from gateway.s3 import model
from gateway.s3.model import SAME_WIRE_FORM, OperationModel, Target
from gateway.s3.router import Router

MODELS = model.load()
ROUTER = Router(MODELS)
ADDRESSES: dict[Target, Address] = {
    Target.SERVICE: ServiceAddress(),
    Target.BUCKET: BucketAddress("bucket"),
    Target.OBJECT: ObjectAddress("bucket", "key"),
}
SUBRESOURCES = sorted({name for operation in MODELS.values() for name, _ in operation.selectors} | {"uploadId"})
PLAIN = {
    "CopyObject", "CreateBucket", "DeleteBucket", "DeleteObject", "GetObject", "HeadBucket", "HeadObject",
    "ListBuckets", "ListObjects", "PostObject", "PutObject", "PreconditionFailed",
}  # fmt: skip


def line(operation: OperationModel) -> str:
    selectors = "&".join(n if v is None else f"{n}={v}" for n, v in operation.selectors) or "-"
    required = ",".join(sorted(operation.required_query) + sorted(operation.required_headers)) or "-"
    fields = (operation.name, operation.method, operation.target.value, selectors, required)
    return " ".join((*fields, str(operation.status), operation.body.value))


def match(method: str, target: Target, query: str = "", **headers: str) -> str:
    pairs = [(name, value) for name, _, value in (part.partition("=") for part in query.split("&") if part)]
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return ROUTER.match(method, ADDRESSES[target], pairs, named).name


def refusal(method: str, target: Target, query: str = "", **headers: str) -> StorageError:
    with pytest.raises(StorageError) as caught:
        match(method, target, query, **headers)
    return caught.value


def outcome(method: str, target: Target, name: str, value: str, headers: dict[str, str]) -> str:
    """The operation's name or the code of the refusal."""
    try:
        return ROUTER.match(method, ADDRESSES[target], [(name, value)], headers).name
    except StorageError as error:
        return error.code.name


def test_model_is_the_one_we_know() -> None:
    """Operation, method, target, selectors, required members, status and body: a botocore update shows here."""
    snapshot = Path(__file__).with_name("operations.txt").read_text("utf-8").splitlines()
    assert [line(MODELS[name]) for name in sorted(MODELS)] == snapshot


@pytest.mark.parametrize("name", sorted(MODELS.keys() - SAME_WIRE_FORM.keys() - {"OptionsObject", "PostObject"}))
def test_every_operation_is_recognised(name: str) -> None:
    operation = MODELS[name]
    query = [(key, value or "") for key, value in operation.selectors]
    query += [(key, "1") for key in operation.required_query]
    headers = dict.fromkeys(operation.required_headers, "x")
    assert ROUTER.match(operation.method, ADDRESSES[operation.target], query, headers).name == name


@pytest.mark.parametrize(("older", "newer"), SAME_WIRE_FORM.items())
def test_superseded_operation_runs_as_its_successor(older: str, newer: str) -> None:
    operation = MODELS[older]
    query = [(key, value or "") for key, value in operation.selectors]
    assert ROUTER.match(operation.method, ADDRESSES[operation.target], query, {}).name == newer


@pytest.mark.parametrize("value", ["", "1"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "POST", "DELETE", "PATCH"])
@pytest.mark.parametrize(
    ("target", "name"),
    [
        (target, name)
        for target in (Target.BUCKET, Target.OBJECT)
        for name in [*SUBRESOURCES, *sorted(model.FOREIGN_SELECTORS)]
        # list-type means nothing to an object, so S3 ignores it there
        if (target, name) != (Target.OBJECT, "list-type")
    ],
)
def test_subresource_never_runs_the_plain_operation(method: str, target: Target, name: str, value: str) -> None:
    copying = {"x-amz-copy-source": "a/b", "content-type": "multipart/form-data; boundary=x"}
    for headers in ({}, copying):
        assert outcome(method, target, name, value, headers) not in PLAIN


@pytest.mark.parametrize("method", ["PUT", "DELETE", "POST"])
def test_partNumber_alone_never_writes(method: str) -> None:
    assert refusal(method, Target.OBJECT, "partNumber=1").code.name in {"InvalidArgument", "MethodNotAllowed"}


@pytest.mark.parametrize(
    ("method", "target", "query", "headers", "name"),
    [
        ("GET", Target.SERVICE, "x-id=ListBuckets&prefix=a", {}, "ListBuckets"),
        ("GET", Target.BUCKET, "foo=bar&prefix=acl", {}, "ListObjects"),
        ("GET", Target.BUCKET, "list-type=2&delimiter=%2F", {}, "ListObjectsV2"),
        ("GET", Target.BUCKET, "versions&prefix=a", {}, "ListObjectVersions"),
        ("GET", Target.BUCKET, "uploads", {}, "ListMultipartUploads"),
        ("GET", Target.BUCKET, "analytics", {}, "ListBucketAnalyticsConfigurations"),
        ("GET", Target.BUCKET, "analytics&id=1", {}, "GetBucketAnalyticsConfiguration"),
        ("POST", Target.BUCKET, "delete", {}, "DeleteObjects"),
        ("POST", Target.BUCKET, "", {"content_type": "Multipart/Form-Data; boundary=x"}, "PostObject"),
        ("PUT", Target.OBJECT, "x-id=PutObject", {}, "PutObject"),
        ("PUT", Target.OBJECT, "", {"x_amz_copy_source": "/a/b"}, "CopyObject"),
        ("PUT", Target.OBJECT, "partNumber=1&uploadId=u", {}, "UploadPart"),
        ("PUT", Target.OBJECT, "partNumber=1&uploadId=u", {"x_amz_copy_source": "/a/b"}, "UploadPartCopy"),
        ("PUT", Target.OBJECT, "acl", {"x_amz_copy_source": "/a/b"}, "PutObjectAcl"),
        ("GET", Target.OBJECT, "partNumber=1&versionId=v&response-expires=x", {}, "GetObject"),
        ("GET", Target.OBJECT, "list-type=2", {}, "GetObject"),
        ("GET", Target.OBJECT, "uploadId=u", {}, "ListParts"),
        ("GET", Target.OBJECT, "attributes", {}, "GetObjectAttributes"),
        ("POST", Target.OBJECT, "uploads", {}, "CreateMultipartUpload"),
        ("POST", Target.OBJECT, "uploadId=u", {}, "CompleteMultipartUpload"),
        ("POST", Target.OBJECT, "select&select-type=2", {}, "SelectObjectContent"),
        ("DELETE", Target.OBJECT, "uploadId=u", {}, "AbortMultipartUpload"),
        ("DELETE", Target.OBJECT, "versionId=v", {}, "DeleteObject"),
        ("OPTIONS", Target.BUCKET, "", {}, "OptionsObject"),
    ],
)
def test_request_is_operation(method: str, target: Target, query: str, headers: dict[str, str], name: str) -> None:
    assert match(method, target, query, **headers) == name


def test_wrong_method_is_405_with_what_is_allowed() -> None:
    error = refusal("PATCH", Target.OBJECT)
    assert error.code.name == "MethodNotAllowed"
    assert dict(error.fields) == {"ResourceType": "OBJECT", "Method": "PATCH", "Allow": "DELETE, GET, HEAD, PUT"}


def test_wrong_method_of_a_subresource_is_405() -> None:
    error = refusal("POST", Target.OBJECT, "acl")
    assert dict(error.fields) == {"ResourceType": "ACL", "Method": "POST", "Allow": "GET, PUT"}


def test_odd_method_is_not_echoed() -> None:
    assert "Method" not in refusal("__class__", Target.OBJECT).fields
    assert "Method" not in refusal("A" * 1024, Target.BUCKET).fields


def test_ListRoles_on_the_service_is_405() -> None:
    assert refusal("POST", Target.SERVICE, "Action=ListRoles").code.name == "MethodNotAllowed"


def test_subresource_at_the_wrong_address_is_501() -> None:
    assert refusal("PUT", Target.OBJECT, "policy").code.name == "NotImplemented"
    assert refusal("PUT", Target.BUCKET, "retention").code.name == "NotImplemented"


def test_two_subresources_conflict() -> None:
    error = refusal("PUT", Target.OBJECT, "acl&tagging")
    assert error.code.name == "InvalidArgument"
    assert error.message == "Conflicting query string parameters: acl, tagging"
    assert refusal("POST", Target.OBJECT, "uploads&uploadId=u").code.name == "InvalidArgument"


def test_list_type_must_be_2() -> None:
    error = refusal("GET", Target.BUCKET, "list-type=3")
    assert (error.code.name, error.fields["ArgumentName"]) == ("InvalidArgument", "list-type")


def test_PostObject_needs_a_form() -> None:
    assert refusal("POST", Target.BUCKET).code.name == "PreconditionFailed"
    assert refusal("POST", Target.BUCKET, content_type="text/plain").code.name == "PreconditionFailed"
