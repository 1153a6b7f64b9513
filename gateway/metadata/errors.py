"""From SQLSTATE to the catalogue. The text of a database error never reaches a caller: it may show SQL or hosts."""

import json
from collections.abc import Mapping
from typing import Any, Final

import psycopg
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests

from gateway.errors import StorageError
from gateway.telemetry import metrics

# Raised by our own functions in sql/tenant (class RL), and what Postgres itself says.
_BY_SQLSTATE: Final[Mapping[str, str]] = {
    "RL001": "NoSuchBucket",
    "RL002": "NoSuchKey",
    "RL003": "PreconditionFailed",
    "RL004": "ServiceUnavailable",
    "RL005": "EntityTooLarge",
    "RL006": "InvalidMimeType",
    "RL007": "NoSuchUpload",
    "RL008": "ConditionalRequestConflict",
    "RL009": "InvalidPart",
    "RL010": "AccessDenied",  # the version is locked
    "RL011": "InvalidRequest",
    "RL012": "InvalidBucketState",
    "RL015": "AnnotationLimitExceeded",
    "RL020": "QuotaExceeded",
    "RL021": "QuotaExceeded",
    "22021": "InvalidArgument",  # character not in repertoire
    "22023": "AccessDenied",  # a role of ROWLOCK_ROLES that this database does not have
    "22P05": "InvalidArgument",  # untranslatable character
    "22P02": "InvalidArgument",  # invalid text representation
    "25006": "ServiceUnavailable",  # read-only: a fail-over is under way
    "25P02": "ServiceUnavailable",
    "40001": "SlowDown",
    "40P01": "SlowDown",
    "42501": "AccessDenied",
    "53100": "InsufficientStorage",  # disk full
    "53200": "SlowDown",
    "53300": "SlowDown",  # too many connections
    "55P03": "SlowDown",  # lock not available in time
    "57014": "SlowDown",  # statement timeout
    "57P01": "ServiceUnavailable",
    "57P02": "ServiceUnavailable",
    "57P03": "ServiceUnavailable",
}

_MESSAGES: Final[Mapping[str, str]] = {
    "RL021": "The number of open multipart uploads has reached its limit: complete or abort some.",
    "RL010": "Access Denied because object protected by object lock.",
    "RL011": "Bucket is missing Object Lock Configuration",
    "RL012": "An Object Lock configuration is present on this bucket, so the versioning state cannot be changed.",
}

RETRYABLE: Final = frozenset({"40001", "40P01"})


class DuplicateRow(Exception):
    """A unique constraint refused an INSERT."""


class ReferencedRow(Exception):
    """A foreign key refused the statement: what it needs is gone, or what it removes is needed."""


class DefaultEncryptionDiffers(StorageError):
    """The bucket's default encryption is not what the write assumed. ``default`` is what it is, None for none.

    Whoever still has the bytes encrypts them so and writes again; to a client it is a reason to try again.
    """

    def __init__(self, default: Mapping[str, Any] | None) -> None:
        super().__init__("ServiceUnavailable")
        self.default: Final = default


class OutcomeUnknown(StorageError):
    """The connection was lost while a write was under way: it may have been committed or not."""

    def __init__(self) -> None:
        super().__init__("ServiceUnavailable")


def translate(error: Exception) -> Exception:
    """What to raise instead of a driver's error. A programming error stays what it is, so that it is seen."""
    if isinstance(error, (PoolTimeout, TooManyRequests)):
        metrics.refused("database")
        return StorageError("SlowDown")
    if isinstance(error, PoolClosed):
        return StorageError("ServiceUnavailable")
    if isinstance(error, psycopg.errors.UniqueViolation):
        return DuplicateRow()
    if isinstance(error, psycopg.errors.ForeignKeyViolation):
        return ReferencedRow()
    state: str | None = getattr(error, "sqlstate", None)
    if state == "RL014":
        return DefaultEncryptionDiffers(json.loads(_detail(error) or "null"))
    if state is not None and state in _BY_SQLSTATE:
        condition = _condition(error)
        fields = {"Condition": condition} if condition else {}
        return StorageError(_BY_SQLSTATE[state], _MESSAGES.get(state), **fields)
    if isinstance(error, psycopg.OperationalError):
        return StorageError("ServiceUnavailable")
    if isinstance(error, psycopg.DataError) and state is None:
        return StorageError("InvalidArgument")
    return error


def is_connection_loss(error: Exception) -> bool:
    """True if the server or the network went away, so that a new connection may do better.

    A pool that has no connection to give is no loss: nothing was sent.
    """
    if isinstance(error, PoolTimeout | TooManyRequests | PoolClosed):
        return False
    if isinstance(error, psycopg.errors.AdminShutdown | psycopg.errors.CrashShutdown | psycopg.errors.CannotConnectNow):
        return True
    return isinstance(error, psycopg.OperationalError) and error.sqlstate is None


def _condition(error: Exception) -> str | None:
    detail = _detail(error)
    return detail if detail in ("If-Match", "If-None-Match", "x-amz-object-if-match") else None


def _detail(error: Exception) -> str | None:
    detail: str | None = getattr(getattr(error, "diag", None), "message_detail", None)
    return detail
