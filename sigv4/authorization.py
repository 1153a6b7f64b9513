"""The ``Authorization: AWS4-HMAC-SHA256 …`` header, and the credential and header lists it shares with presigned URLs.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-auth-using-authorization-header.html.
"""

from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from typing import Final

from sigv4.canonical import HEX_DIGITS
from sigv4.errors import SignatureError, shown
from sigv4.signing import ALGORITHM, SERVICE, TERMINAL, Scope, is_date

MAX_COMPONENT_BYTES: Final = 4096
# What no ordinary client sends is not remembered, so that strangers cannot fill memory.
_MAX_CACHED_BYTES: Final = 512
MAX_ACCESS_KEY_ID_BYTES: Final = 128

_ACCESS_KEY_ID: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.+=@:"
_HEADER_NAME: Final = b"abcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~"
_FORM: Final = 'the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".'


class Source(Enum):
    """Where a credential was given: it decides which of S3's errors a bad one gets. The value is (code, prefix)."""

    HEADER = ("AuthorizationHeaderMalformed", "The authorization header is malformed; ")
    QUERY = ("AuthorizationQueryParametersError", "Error parsing the X-Amz-Credential parameter; ")
    FORM = ("InvalidArgument", "")

    def refusal(self, message: str, **fields: str) -> SignatureError:
        """The error of this source."""
        code, prefix = self.value
        return SignatureError(code, prefix + message, fields)


@dataclass(frozen=True, slots=True)
class Credential:
    """``<access key id>/<date>/<region>/s3/aws4_request``. ``scope_text`` is everything after the first slash."""

    access_key_id: str
    scope: Scope
    scope_text: bytes


@dataclass(frozen=True, slots=True)
class Authorization:
    """The three components of the header, syntax checked."""

    credential: Credential
    signed_headers: tuple[bytes, ...]
    signature: bytes = field(repr=False)


@lru_cache(maxsize=1024)
def _credential(text: bytes, region: str, source: Source, expected: str) -> Credential:
    parts = text.split(b"/")
    if len(parts) != 5 or not parts[0]:
        raise source.refusal(_FORM)
    key, date, given_region, service, terminal = parts
    if not is_date(date):
        raise source.refusal(
            f'incorrect date format "{shown(date)}". This date in the credential must be in the format "yyyyMMdd".'
        )
    if terminal != TERMINAL:
        raise source.refusal(f'incorrect terminal "{shown(terminal)}". This endpoint uses "aws4_request".')
    if service != expected.encode():
        raise source.refusal(f'incorrect service "{shown(service)}". This endpoint belongs to "{expected}".')
    if given_region != region.encode():
        raise source.refusal(f"the region '{shown(given_region)}' is wrong; expecting '{region}'", Region=region)
    return Credential(access_key_id(key), Scope(date.decode("ascii"), region, expected), text[len(key) + 1 :])


def parse_credential(text: bytes, *, region: str, source: Source, service: str = SERVICE) -> Credential:
    """Split and check a credential. Raises SignatureError: S3's error for ``source``, or InvalidAccessKeyId."""
    if len(text) > _MAX_CACHED_BYTES:
        raise source.refusal(_FORM)
    return _credential(text, region, source, service)


def access_key_id(key: bytes) -> str:
    """The key id as text. One no store could hold is refused before any store is asked (InvalidAccessKeyId)."""
    if len(key) > MAX_ACCESS_KEY_ID_BYTES or key.translate(None, _ACCESS_KEY_ID):
        message = "The AWS Access Key Id you provided does not exist in our records."
        raise SignatureError("InvalidAccessKeyId", message, {"AWSAccessKeyId": shown(key, MAX_ACCESS_KEY_ID_BYTES)})
    return key.decode("ascii")


@lru_cache(maxsize=256)
def _signed_headers(text: bytes) -> tuple[bytes, ...] | None:
    names = tuple(text.split(b";"))
    if any(not name or name.translate(None, _HEADER_NAME) for name in names) or list(names) != sorted(set(names)):
        return None
    return names


def parse_signed_headers(text: bytes) -> tuple[bytes, ...] | None:
    """The names, or None unless they are lower-case, sorted and each given once."""
    if len(text) > MAX_COMPONENT_BYTES:
        return None
    return _signed_headers(text) if len(text) <= _MAX_CACHED_BYTES else _signed_headers.__wrapped__(text)


def parse_authorization(value: bytes, *, region: str, service: str = SERVICE) -> Authorization:
    """Parse the header's value. Raises SignatureError (AuthorizationHeaderMalformed, InvalidAccessKeyId)."""
    components: dict[bytes, bytes] = {}
    for piece in value[len(ALGORITHM) :].split(b","):
        name, separator, text = piece.strip(b" \t").partition(b"=")
        if not separator or name in components:
            raise Source.HEADER.refusal(f'the authorization component "{shown(name)}" is malformed.')
        components[name] = text
    for required in (b"Credential", b"SignedHeaders", b"Signature"):
        if not components.get(required):
            raise Source.HEADER.refusal(f"missing {required.decode()}.")
    if len(components) != 3:
        raise Source.HEADER.refusal(
            "the authorization header requires three components: Credential, SignedHeaders, and Signature."
        )
    given = components[b"Credential"]
    credential = parse_credential(given, region=region, source=Source.HEADER, service=service)
    names = parse_signed_headers(components[b"SignedHeaders"])
    if names is None:
        raise Source.HEADER.refusal("SignedHeaders must be lower-case, sorted and without repeats.")
    return Authorization(credential, names, components[b"Signature"])


def is_hex_signature(value: bytes) -> bool:
    """Whether a signature is 64 hexadecimal digits: the only ones worth repeating to the caller."""
    return len(value) == 64 and not value.translate(None, HEX_DIGITS)
