"""From a request to a verdict in two steps, so that the secret is fetched only for requests worth it.

``parse`` makes every check that needs no secret and names the access key; ``verify`` compares the signature and says
how the body is protected. Source: https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Final
from urllib.parse import quote

from sigv4 import canonical, presigned, signing
from sigv4.authorization import Authorization, Credential, Source, is_hex_signature, parse_authorization
from sigv4.canonical import HttpRequest
from sigv4.chunked import ChunkSigner
from sigv4.errors import SIGNATURE_DOES_NOT_MATCH, SignatureError, invalid_argument, shown
from sigv4.payload import HEADER as CONTENT_SHA256
from sigv4.payload import UNSIGNED_PAYLOAD, Payload, PayloadMode, parse_word

_MAX_ECHO_BYTES: Final = 64 * 1024
_SIGV4_PREFIX: Final = signing.ALGORITHM + b" "
_SINGLE: Final = frozenset(
    (
        b"authorization",
        b"date",
        b"host",
        b"x-amz-content-sha256",
        b"x-amz-date",
        b"x-amz-decoded-content-length",
        b"x-amz-security-token",
    )
)
_SIGV2_PARAMETERS: Final = frozenset((b"awsaccesskeyid", b"signature"))
_SIGV4_PARAMETERS: Final = frozenset((b"x-amz-algorithm", b"x-amz-credential", b"x-amz-signature"))

Pairs = Sequence[tuple[bytes, bytes]]


class AuthKind(Enum):
    """How a request says who sent it. Every other way is refused, never read as anonymous."""

    ANONYMOUS = "anonymous"
    SIGV4_HEADER = "sigv4-header"
    SIGV4_QUERY = "sigv4-query"


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A signed request whose claims are consistent; nothing is proven until ``verify`` returned.

    ``hoisted`` are ``X-Amz-*`` query parameters that act as headers (lower-case names, decoded values), without the
    session token, which is in ``session_token`` wherever it was given.
    """

    kind: AuthKind
    credential: Credential
    timestamp: bytes
    signed_headers: tuple[bytes, ...]
    signature: bytes = field(repr=False)
    payload_word: bytes
    payload_mode: PayloadMode
    payload_sha256: bytes | None
    headers: Mapping[bytes, bytes] = field(repr=False)
    query: Pairs = field(repr=False)
    hoisted: Mapping[bytes, bytes] = field(repr=False)
    session_token: str | None = field(repr=False)

    @property
    def access_key_id(self) -> str:
        """Whose secret ``verify`` needs."""
        return self.credential.access_key_id


def classify(request: HttpRequest) -> AuthKind:
    """How the request authenticates. Raises SignatureError for two ways at once and for any way not offered."""
    return _classify(_joined(request.headers).get(b"authorization"), canonical.split_query(request.raw_query))


def parse(
    request: HttpRequest,
    *,
    region: str,
    now: datetime,
    service: str = signing.SERVICE,
    body_sha256: bytes | None = None,
) -> SignedRequest | None:
    """Every check that needs no secret; None for an anonymous request.

    ``region`` and ``service`` are what requests must be signed for, ``now`` an aware datetime. ``body_sha256`` (hex) is
    for services other than S3: they sign the hash of the body without sending it, so the body was read before. Raises
    SignatureError.
    """
    headers = _joined(request.headers)
    query: Pairs = canonical.split_query(request.raw_query) if request.raw_query else ()
    kind = _classify(headers.get(b"authorization"), query)
    if kind is AuthKind.SIGV4_HEADER:
        authorization = parse_authorization(headers[b"authorization"], region=region, service=service)
        return _parse_header(headers, query, authorization, body_sha256, now.timestamp())
    if kind is AuthKind.SIGV4_QUERY:
        url = presigned.parse_presigned(query, region=region, now_seconds=now.timestamp(), service=service)
        return _parse_query(headers, url, body_sha256)
    return None


def verify(request: HttpRequest, signed: SignedRequest, secret: str) -> Payload:
    """Compare the signature with the one ``secret`` gives, and return what the body must turn out to be.

    Raises SignatureError (SignatureDoesNotMatch) with the canonical request and string to sign as seen here.
    """
    scope = signed.credential.scope
    key = signing.signing_key(secret, scope.date, scope.region, scope.service)
    path, query = canonical.canonical_path(request.raw_path), canonical.canonical_query(signed.query)
    seen = _canonical(request, signed, path, query)
    text = signing.string_to_sign(signed.timestamp, signed.credential.scope_text, seen)
    genuine = signing.matches(signing.sign(key, text), signed.signature)
    if not genuine:
        genuine = _matches_as_sent(request, signed, key, path, query)
    if not genuine or any(name not in signed.headers for name in signed.signed_headers):
        raise _mismatch(signed, seen, text)
    signer = None
    if signed.payload_mode in (PayloadMode.STREAMING_SIGNED, PayloadMode.STREAMING_SIGNED_TRAILER):
        signer = ChunkSigner(key, signed.timestamp, signed.credential.scope_text, signed.signature)
    return Payload(signed.payload_mode, signed.payload_sha256, signer)


def _matches_as_sent(request: HttpRequest, signed: SignedRequest, key: bytes, path: bytes, query: bytes) -> bool:
    """Whether the client signed path and query as it sent them, as botocore does, where that is another text.

    Both forms decode to the same path and the same parameters, so accepting either vouches for nothing else.
    """
    sent_path, sent_query = request.raw_path or b"/", canonical.sorted_query(signed.query)
    if sent_path == path and sent_query == query:
        return False
    text = signing.string_to_sign(
        signed.timestamp, signed.credential.scope_text, _canonical(request, signed, sent_path, sent_query)
    )
    return signing.matches(signing.sign(key, text), signed.signature)


def _canonical(request: HttpRequest, signed: SignedRequest, path: bytes, query: bytes) -> bytes:
    return canonical.canonical_request(
        request.method, path, query, signed.headers, signed.signed_headers, signed.payload_word
    )


def _joined(headers: Pairs) -> dict[bytes, bytes]:
    """Headers by name, repeats joined with a comma. Raises InvalidRequest where only one can be meant."""
    joined: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in joined:
            if name in _SINGLE:
                raise SignatureError("InvalidRequest", f"The request has more than one {name.decode('ascii')} header.")
            value = joined[name] + b"," + value
        joined[name] = value
    return joined


def _classify(authorization: bytes | None, query: Pairs) -> AuthKind:
    kind = AuthKind.ANONYMOUS
    for raw_name, _ in query:
        name = canonical.query_decode(raw_name).lower()
        if name in _SIGV4_PARAMETERS:
            kind = AuthKind.SIGV4_QUERY
        elif name in _SIGV2_PARAMETERS:
            raise _sigv2()
    if authorization is None:
        if kind is AuthKind.SIGV4_QUERY:
            _refuse_sigv4a(query)
        return kind
    if kind is not AuthKind.ANONYMOUS:
        raise invalid_argument(
            "Authorization",
            "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string "
            "parameter or the Authorization header should be specified",
        )
    if authorization.startswith(_SIGV4_PREFIX):
        return AuthKind.SIGV4_HEADER
    raise _refused_scheme(authorization)


def _refused_scheme(authorization: bytes) -> SignatureError:
    scheme, _, rest = authorization.partition(b" ")
    if not scheme:
        return SignatureError("AccessDenied", "Access Denied")
    if scheme == b"AWS" and b":" in rest:
        return _sigv2()
    if scheme.startswith(b"AWS4-ECDSA-P256-SHA256"):
        return _sigv4a()
    if scheme == signing.ALGORITHM:
        return Source.HEADER.refusal("missing Credential.")
    if scheme.lower() == b"bearer":
        return invalid_argument(
            "Authorization",
            "Unsupported Authorization Type: bearer tokens are not accepted here. Please use AWS4-HMAC-SHA256.",
        )
    return invalid_argument("Authorization", "Unsupported Authorization Type")


def _refuse_sigv4a(query: Pairs) -> None:
    for name, value in query:
        if canonical.query_decode(name).lower() == presigned.ALGORITHM_PARAMETER and value.startswith(b"AWS4-ECDSA"):
            raise _sigv4a()


def _sigv2() -> SignatureError:
    message = "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256."
    return SignatureError("InvalidRequest", message)


def _sigv4a() -> SignatureError:
    message = "SigV4A (AWS4-ECDSA-P256-SHA256) is not supported. Please use AWS4-HMAC-SHA256."
    return SignatureError("NotImplemented", message)


def _parse_header(
    headers: Mapping[bytes, bytes],
    query: Pairs,
    authorization: Authorization,
    body_sha256: bytes | None,
    now_seconds: float,
) -> SignedRequest:
    timestamp = headers.get(b"x-amz-date")
    if timestamp is None and b"date" in headers:
        timestamp = signing.timestamp_of_date_header(headers[b"date"])
    moment = signing.parse_timestamp(timestamp) if timestamp is not None else None
    if timestamp is None or moment is None:
        raise SignatureError("AccessDenied", "AWS authentication requires a valid Date or x-amz-date header")
    date = authorization.credential.scope.date
    if date.encode() != timestamp[:8]:
        raise Source.HEADER.refusal(
            f'Invalid credential date "{date}". This date is not the same as X-Amz-Date: '
            f'"{timestamp[:8].decode("ascii")}".'
        )
    if abs(now_seconds - moment) > signing.MAX_SKEW_SECONDS:
        raise _skewed(timestamp, now_seconds)
    _require_signed(headers, authorization.signed_headers, {})
    word = headers.get(CONTENT_SHA256) if body_sha256 is None else body_sha256
    if word is None:
        raise SignatureError("InvalidRequest", "Missing required header for this request: x-amz-content-sha256")
    mode, digest = parse_word(word)
    token = headers.get(presigned.SECURITY_TOKEN)
    return SignedRequest(
        AuthKind.SIGV4_HEADER,
        authorization.credential,
        timestamp,
        authorization.signed_headers,
        authorization.signature,
        word,
        mode,
        digest,
        headers,
        query,
        {},
        None if token is None else token.decode("latin-1"),
    )


def _parse_query(headers: Mapping[bytes, bytes], url: presigned.Presigned, body_sha256: bytes | None) -> SignedRequest:
    for name, value in url.hoisted.items():
        if headers.get(name, value) != value:
            message = f"The header {shown(name)} contradicts the query parameter of the same name."
            raise SignatureError("InvalidRequest", message)
    _require_signed(headers, url.signed_headers, url.hoisted)
    word = headers.get(CONTENT_SHA256, url.hoisted.get(CONTENT_SHA256, UNSIGNED_PAYLOAD))
    if body_sha256 is not None:
        word = body_sha256
    mode, digest = parse_word(word)
    hoisted = dict(url.hoisted)
    token = hoisted.pop(presigned.SECURITY_TOKEN, headers.get(presigned.SECURITY_TOKEN))
    return SignedRequest(
        AuthKind.SIGV4_QUERY,
        url.credential,
        url.timestamp,
        url.signed_headers,
        url.signature,
        word,
        mode,
        digest,
        headers,
        url.query,
        hoisted,
        None if token is None else token.decode("latin-1"),
    )


def _require_signed(headers: Mapping[bytes, bytes], signed: tuple[bytes, ...], in_query: Mapping[bytes, bytes]) -> None:
    """The host and every ``x-amz-*`` header present must be covered by the signature."""
    bare = [name for name in headers if name not in signed and name not in in_query and name.startswith(b"x-amz-")]
    if b"host" not in signed:
        bare.insert(0, b"host")
    if bare:
        names = ", ".join(shown(name) for name in bare)
        message = "There were headers present in the request which were not signed"
        raise SignatureError("AccessDenied", message, {"HeadersNotSigned": names})


def _skewed(timestamp: bytes, now_seconds: float) -> SignatureError:
    return SignatureError(
        "RequestTimeTooSkewed",
        "The difference between the request time and the server's time is too large.",
        {
            "RequestTime": timestamp.decode("ascii"),
            "ServerTime": signing.format_seconds(now_seconds),
            "MaxAllowedSkewMilliseconds": str(signing.MAX_SKEW_SECONDS * 1000),
        },
    )


def _mismatch(signed: SignedRequest, seen: bytes, text: bytes) -> SignatureError:
    if signed.session_token:
        # A token is worth more than the request it came with; answers end up in logs.
        token = signed.session_token.encode("latin-1")
        for written in (token, quote(token, safe="-_.~").encode()):
            seen = seen.replace(written, b"[...]")
    fields = {
        "AWSAccessKeyId": signed.access_key_id,
        "StringToSign": shown(text, _MAX_ECHO_BYTES),
        "CanonicalRequest": shown(seen, _MAX_ECHO_BYTES),
    }
    if is_hex_signature(signed.signature):
        fields["SignatureProvided"] = signed.signature.decode("ascii")
    return SignatureError("SignatureDoesNotMatch", SIGNATURE_DOES_NOT_MATCH, fields)
