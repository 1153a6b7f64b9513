"""S3's error document, and what travels in headers instead."""

from lxml import etree

from gateway.errors import StorageError
from gateway.s3.errors import render_error
from gateway.wire.response import Response


def render(error: StorageError) -> Response:
    return render_error(error, resource="/bucket/k", request_id="REQ", host_id="HOST")


def elements(answer: Response) -> dict[str, str]:
    assert isinstance(answer.body, bytes)
    root = etree.fromstring(answer.body)
    assert root.tag == "Error"
    return {str(child.tag): child.text or "" for child in root}


def test_error_document_has_code_fields_and_ids() -> None:
    answer = render(StorageError("NoSuchKey", Key="a<b>\r&"))
    assert answer.status == 404
    assert elements(answer) == {
        "Code": "NoSuchKey",
        "Message": "The specified key does not exist.",
        "Key": "a<b>\r&",
        "Resource": "/bucket/k",
        "RequestId": "REQ",
        "HostId": "HOST",
    }
    assert dict(answer.headers) == {b"content-type": b"application/xml"}


def test_overload_says_when_to_come_back() -> None:
    answer = render(StorageError("SlowDown"))
    assert (answer.status, dict(answer.headers)[b"retry-after"]) == (503, b"1")


def test_405_names_what_is_allowed_in_a_header_only() -> None:
    answer = render(StorageError("MethodNotAllowed", Method="PATCH", ResourceType="OBJECT", Allow="GET, PUT"))
    assert dict(answer.headers)[b"allow"] == b"GET, PUT"
    assert "Allow" not in elements(answer)
    assert elements(answer)["Method"] == "PATCH"


def test_304_has_etag_and_date_and_no_body() -> None:
    date = "Sat, 21 Nov 2026 09:25:13 GMT"
    answer = render(StorageError("NotModified", etag="abc", last_modified=date))
    assert (answer.status, answer.body) == (304, b"")
    assert dict(answer.headers) == {b"etag": b'"abc"', b"last-modified": date.encode()}


def test_416_says_how_long_the_object_is() -> None:
    answer = render(StorageError("InvalidRange", ActualObjectSize="10", RangeRequested="bytes=20-"))
    assert dict(answer.headers)[b"content-range"] == b"bytes */10"
    assert elements(answer)["ActualObjectSize"] == "10"
