"""Credential scope, derived keys, string to sign, and the constant-time comparison.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html and, for timestamps,
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-date-handling.html.
"""

import hmac
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from hashlib import sha256
from typing import Final

ALGORITHM: Final = b"AWS4-HMAC-SHA256"
SERVICE: Final = "s3"
TERMINAL: Final = b"aws4_request"
MAX_SKEW_SECONDS: Final = 15 * 60
EMPTY_SHA256: Final = sha256(b"").hexdigest().encode()


@dataclass(frozen=True, slots=True)
class Scope:
    """What a signature is good for: one day, one region, one service. ``date`` is ``yyyymmdd``."""

    date: str
    region: str
    service: str = SERVICE

    def __bytes__(self) -> bytes:
        return f"{self.date}/{self.region}/{self.service}/aws4_request".encode()


@lru_cache(maxsize=4096)
def signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    """The derived key. The cache is bounded and keyed by everything that goes into the key, the secret included."""
    key = hmac.digest(b"AWS4" + secret.encode(), date.encode(), "sha256")
    for part in (region.encode(), service.encode(), TERMINAL):
        key = hmac.digest(key, part, "sha256")
    return key


def string_to_sign(timestamp: bytes, scope: bytes, canonical: bytes) -> bytes:
    """The string to sign of a whole request. ``timestamp`` is ``yyyymmddThhmmssZ``."""
    return b"\n".join((ALGORITHM, timestamp, scope, sha256(canonical).hexdigest().encode()))


def sign(key: bytes, message: bytes) -> bytes:
    """The signature: lower-case hexadecimal."""
    return hmac.digest(key, message, "sha256").hex().encode()


def matches(expected: bytes, provided: bytes) -> bool:
    """Compare in time that does not depend on where they differ."""
    return hmac.compare_digest(expected, provided)


@lru_cache(maxsize=64)
def _midnight(day: bytes) -> float | None:
    if len(day) != 8 or not day.isdigit():
        return None
    try:
        return datetime(int(day[:4]), int(day[4:6]), int(day[6:]), tzinfo=UTC).timestamp()
    except ValueError:
        return None


def is_date(day: bytes) -> bool:
    """Whether this is a calendar day written ``yyyymmdd``."""
    return _midnight(day) is not None


def parse_timestamp(value: bytes) -> float | None:
    """Unix seconds of ``yyyymmddThhmmssZ``; None when it is anything else."""
    return _seconds(value) if len(value) == 16 else None


@lru_cache(maxsize=64)
def _seconds(value: bytes) -> float | None:
    clock = value[9:15]
    if value[8:9] != b"T" or value[15:] != b"Z" or not clock.isdigit():
        return None
    midnight = _midnight(value[:8])
    hours, minutes, seconds = int(clock[:2]), int(clock[2:4]), int(clock[4:])
    if midnight is None or hours > 23 or minutes > 59 or seconds > 59:
        return None
    return midnight + hours * 3600 + minutes * 60 + seconds


def timestamp_of_date_header(value: bytes) -> bytes | None:
    """The ``Date`` header (RFC 9110 §5.6.7 or ISO 8601 basic) as ``yyyymmddThhmmssZ``; None when unreadable."""
    if parse_timestamp(value) is not None:
        return value
    try:
        moment = parsedate_to_datetime(value.decode("ascii"))
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return format_timestamp(moment)


def format_timestamp(moment: datetime) -> bytes:
    """An aware datetime as ``yyyymmddThhmmssZ``."""
    return moment.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ").encode()


def format_seconds(seconds: float) -> str:
    """Unix seconds as S3 writes them in error bodies: ``2026-11-21T09:00:00Z``."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
