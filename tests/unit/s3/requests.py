"""Requests for tests, built as an ASGI server would hand them over."""

from gateway.context import Address
from gateway.s3 import model
from gateway.s3.codec import OperationCodec, compile_codecs, effective_headers
from gateway.wire.addressing import resolve
from gateway.wire.request import RawRequest

MODELS = model.load()
CODECS = compile_codecs(MODELS)

Headers = list[tuple[bytes, bytes]]


def scope(method: str, target: str, headers: Headers | None = None) -> dict[str, object]:
    """An ASGI scope; ``target`` is the raw path and query."""
    path, _, query = target.partition("?")
    given = [(name.lower(), value) for name, value in headers or []]
    if not any(name == b"host" for name, _ in given):
        given.insert(0, (b"host", b"127.0.0.1:9000"))
    return {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode("ascii"),
        "query_string": query.encode("ascii"),
        "headers": given,
        "client": ("192.0.2.7", 50_000),
        "server": ("127.0.0.1", 9000),
    }


def raw_request(method: str, target: str, headers: Headers | None = None) -> RawRequest:
    return RawRequest.from_scope(scope(method, target, headers), "REQUEST")


def read(name: str, target: str, headers: Headers | None = None, document: bytes | None = None) -> object:
    """The input record of one request for operation ``name``."""
    codec: OperationCodec = CODECS[name]
    request = raw_request(codec.model.method, target, headers)
    address: Address = resolve(request, None)
    fields = codec.read_head(request, address, effective_headers(request))
    if codec.model.body.value == "stream":
        fields["body"] = None
    if document is not None:
        fields |= codec.read_document(document)
    return codec.build(fields)
