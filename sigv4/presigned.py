"""Presigned URLs: the signature and what it needs stand in the query.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html. Every ``X-Amz-*`` parameter that
is not one of the six (and not the session token) acts as the header of that name.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from sigv4.authorization import Credential, Source, parse_credential, parse_signed_headers
from sigv4.canonical import query_decode
from sigv4.errors import SignatureError
from sigv4.signing import ALGORITHM, MAX_SKEW_SECONDS, SERVICE, format_seconds, parse_timestamp

MAX_EXPIRES_SECONDS: Final = 7 * 24 * 60 * 60

ALGORITHM_PARAMETER: Final = b"x-amz-algorithm"
SIGNATURE_PARAMETER: Final = b"x-amz-signature"
SECURITY_TOKEN: Final = b"x-amz-security-token"
PARAMETERS: Final = frozenset(
    (
        ALGORITHM_PARAMETER,
        b"x-amz-credential",
        SIGNATURE_PARAMETER,
        b"x-amz-date",
        b"x-amz-signedheaders",
        b"x-amz-expires",
    )
)
_MISSING: Final = (
    "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, "
    "X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters."
)


@dataclass(frozen=True, slots=True)
class Presigned:
    """A presigned request's parameters, syntax and life time checked. ``query`` is the raw query less the signature."""

    credential: Credential
    timestamp: bytes
    signed_headers: tuple[bytes, ...]
    signature: bytes = field(repr=False)
    hoisted: Mapping[bytes, bytes] = field(repr=False)
    query: tuple[tuple[bytes, bytes], ...] = field(repr=False)


def _refusal(message: str, **fields: str) -> SignatureError:
    return SignatureError("AuthorizationQueryParametersError", message, fields)


def parse_presigned(
    query: Sequence[tuple[bytes, bytes]], *, region: str, now_seconds: float, service: str = SERVICE
) -> Presigned:
    """Check the parameters of a presigned URL (raw pairs in, see ``canonical.split_query``).

    Raises SignatureError: AuthorizationQueryParametersError, AccessDenied (expired, not yet valid),
    InvalidAccessKeyId, InvalidRequest.
    """
    given: dict[bytes, bytes] = {}
    hoisted: dict[bytes, bytes] = {}
    signed: list[tuple[bytes, bytes]] = []
    for pair in query:
        name = query_decode(pair[0]).lower()
        if name != SIGNATURE_PARAMETER:
            signed.append(pair)
        if not name.startswith(b"x-amz-"):
            continue
        target = given if name in PARAMETERS else hoisted
        if name in target:
            raise _refusal("A query parameter of the signature is given more than once.")
        target[name] = query_decode(pair[1])
    if len(given) != len(PARAMETERS) or not all(given.values()):
        raise _refusal(_MISSING)
    if given[ALGORITHM_PARAMETER] != ALGORITHM:
        raise _refusal('X-Amz-Algorithm only supports "AWS4-HMAC-SHA256"')
    timestamp = given[b"x-amz-date"]
    moment = parse_timestamp(timestamp)
    if moment is None:
        raise _refusal("X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"")
    text = given[b"x-amz-credential"]
    credential = parse_credential(text, region=region, source=Source.QUERY, service=service)
    if credential.scope.date.encode() != timestamp[:8]:
        raise _refusal(
            f'Invalid credential date "{credential.scope.date}". This date is not the same as X-Amz-Date: '
            f'"{timestamp[:8].decode("ascii")}".'
        )
    names = parse_signed_headers(given[b"x-amz-signedheaders"])
    if names is None:
        raise _refusal("X-Amz-SignedHeaders must be lower-case, sorted and without repeats.")
    _check_life(moment, _expires_seconds(given[b"x-amz-expires"]), now_seconds)
    return Presigned(credential, timestamp, names, given[SIGNATURE_PARAMETER], hoisted, tuple(signed))


def _expires_seconds(text: bytes) -> int:
    digits = text.removeprefix(b"-")
    if not digits.isdigit() or len(digits) > 18:
        raise _refusal("X-Amz-Expires should be a number")
    seconds = int(text)
    if seconds < 0:
        raise _refusal("X-Amz-Expires must be non-negative")
    if seconds > MAX_EXPIRES_SECONDS:
        raise _refusal(
            "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than "
            "604800 seconds"
        )
    return seconds


def _check_life(moment: float, expires_seconds: int, now_seconds: float) -> None:
    if moment > now_seconds + MAX_SKEW_SECONDS:
        raise SignatureError("AccessDenied", "Request is not valid yet", {"ServerTime": format_seconds(now_seconds)})
    # Valid up to and including the second it names; zero seconds is a URL that never lived.
    if expires_seconds == 0 or now_seconds > moment + expires_seconds:
        fields = {
            "X-Amz-Expires": str(expires_seconds),
            "Expires": format_seconds(moment + expires_seconds),
            "ServerTime": format_seconds(now_seconds),
        }
        raise SignatureError("AccessDenied", "Request has expired", fields)
