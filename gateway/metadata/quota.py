"""Limits that a tenant's database counts: storage, and open multipart uploads (``sql/tenant/0020_quota.sql``)."""

from dataclasses import dataclass
from typing import Final

from gateway import statements
from gateway.metadata import migrate

_SQL: Final = statements.load("quota")


@dataclass(frozen=True, slots=True)
class Usage:
    """The limits a database has, None where there is none. ``used_bytes`` is counted only under a storage limit."""

    storage_bytes: int | None
    multipart_uploads: int | None
    used_bytes: int | None


def apply(url: str, storage_bytes: int | None, multipart_uploads: int | None) -> None:
    """Give a database these limits; where they are new, count what is stored. Blocks; for the schema's owner.

    Raises MigrationError, one line that says why.
    """
    with migrate.connect(url) as connection, migrate.explained("the limits cannot be set"), connection.transaction():
        values = {"storage_bytes": storage_bytes, "multipart_uploads": multipart_uploads}
        connection.execute(_SQL["apply_limits"].text, _SQL["apply_limits"].bind(values))


def usage(url: str) -> Usage:
    """What a database counts. Blocks; for the schema's owner. Raises MigrationError."""
    with migrate.connect(url) as connection, migrate.explained("the limits cannot be read"):
        row = connection.execute(_SQL["current_limits"].text).fetchone()
    storage_bytes, uploads, used = row if row is not None else (None, None, None)
    return Usage(storage_bytes, uploads, used if storage_bytes is not None else None)
