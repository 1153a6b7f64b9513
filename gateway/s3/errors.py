"""How S3 says no: a StorageError as its XML answer with the true status.

https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
"""

from typing import Final

from gateway.errors import StorageError
from gateway.s3.xml import DECLARATION, escape
from gateway.wire.response import Response

# Fields of an error that travel as headers, not as elements.
_HEADER_FIELDS: Final = {
    "Allow": b"allow",
    "bucket_region": b"x-amz-bucket-region",
    "delete_marker": b"x-amz-delete-marker",
    "etag": b"etag",
    "last_modified": b"last-modified",
    "location": b"location",
    "version_id": b"x-amz-version-id",
}
_NOT_MODIFIED: Final = 304
_REDIRECTED: Final = 307


def render_error(error: StorageError, *, resource: str, request_id: str, host_id: str) -> Response:
    """The answer to a refused or failed request.

    Code, message, the error's fields and where it happened; ``Retry-After`` where the catalogue says so, ``Allow``
    with 405, ``ETag`` and ``Last-Modified`` with 304, which has no body. The ids equal those in the headers.
    """
    headers = [(b"content-type", b"application/xml")]
    elements = [("Code", error.code.name), ("Message", error.message)]
    for name, value in error.fields.items():
        header = _HEADER_FIELDS.get(name)
        if header is None:
            elements.append((name, value))
        else:
            headers.append((header, _header_value(name, value)))
    if error.code.retry_after_seconds is not None:
        headers.append((b"retry-after", b"%d" % error.code.retry_after_seconds))
    if error.code.name == "InvalidRange" and (size := error.fields.get("ActualObjectSize")) is not None:
        # RFC 9110 §15.5.17
        headers.append((b"content-range", f"bytes */{size}".encode("ascii")))
    if error.code.status == _REDIRECTED:
        headers.append((b"cache-control", b"no-store"))
    if error.code.status == _NOT_MODIFIED:
        return Response(_NOT_MODIFIED, tuple(headers[1:]))
    elements += [("Resource", resource), ("RequestId", request_id), ("HostId", host_id)]
    content = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in elements)
    return Response(error.code.status, tuple(headers), f"{DECLARATION}<Error>{content}</Error>".encode())


def _header_value(name: str, value: str) -> bytes:
    if name == "etag" and not value.endswith('"'):
        value = f'"{value}"'
    return value.encode("utf-8")
