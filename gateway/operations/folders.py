"""Listings as the JSON API has them: one folder by offset (list), and keys or folders by cursor (list-v2)."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from gateway.context import Call
from gateway.errors import StorageError
from gateway.metadata import keyspace, storage_api
from gateway.metadata.storage_api import Entry
from gateway.operations.services import Services

DELIMITER: Final = "/"
MAX_ENTRIES: Final = 1000
_MAX_CURSOR_CHARACTERS: Final = 8192
_NAME: Final = "name"


@dataclass(frozen=True, slots=True)
class FolderListing:
    """One page of one folder. Names are relative to ``prefix``; ``search`` is how they begin, whatever the case."""

    bucket: str
    prefix: str = ""
    search: str = ""
    sort_column: str = _NAME
    sort_order: str = "asc"
    limit: int = 100
    offset: int = 0


@dataclass(frozen=True, slots=True)
class EntryListing:
    """One page of the keys that start with ``prefix``, taken literally; with a delimiter, folders instead of what is
    in them. ``cursor`` is a former page's, and brings its order with it."""

    bucket: str
    prefix: str = ""
    with_delimiter: bool = False
    sort_column: str = _NAME
    sort_order: str = "asc"
    limit: int = MAX_ENTRIES
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class EntryPage:
    """A page, and where the next one begins; ``cursor`` is None on the last."""

    entries: Sequence[Entry]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last entry of a page and the order it was in. As text: lines of ``letter:value``, base64."""

    name: str
    sort_column: str
    sort_order: str
    moment: datetime | None = None

    def encode(self) -> str:
        """The cursor a client sends back. Times have microseconds, so that no entry is skipped or shown twice."""
        lines = [f"l:{self.name}", f"o:{self.sort_order}"]
        if self.moment is not None:
            microseconds = (self.moment - _EPOCH) // timedelta(microseconds=1)
            lines += [f"c:{self.sort_column}", f"a:{microseconds}"]
        # The name comes last: it is the only part that can hold a line break.
        return base64.b64encode("\n".join(lines[1:] + lines[:1]).encode()).decode("ascii")

    @classmethod
    def decode(cls, text: str) -> "Cursor":
        """Read it back. Raises InvalidArgument."""
        if len(text) > _MAX_CURSOR_CHARACTERS:
            raise _bad_cursor()
        try:
            head, mark, name = ("\n" + base64.b64decode(text, validate=True).decode()).partition("\nl:")
            fields = dict(line.split(":", 1) for line in head.split("\n") if line)
            moment = _EPOCH + timedelta(microseconds=int(fields["a"])) if "a" in fields else None
        except (binascii.Error, ValueError, OverflowError):
            raise _bad_cursor() from None
        column, order = fields.get("c", _NAME), fields.get("o", "asc")
        if not mark or "\0" in name or order not in ("asc", "desc"):
            raise _bad_cursor()
        if column not in (("created_at", "updated_at") if moment is not None else (_NAME,)):
            raise _bad_cursor()
        return cls(name, column, order, moment)


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


async def list_folder(services: Services, call: Call, asked: FolderListing) -> list[Entry]:
    """What is directly in a folder, folders without an id."""
    prefix = asked.prefix
    if prefix and not prefix.endswith(DELIMITER):
        prefix += DELIMITER
    return await storage_api.search(
        services.session,
        call.scope,
        asked.bucket,
        prefix=prefix,
        search_text=asked.search,
        sort_column=asked.sort_column,
        sort_order=asked.sort_order,
        page_size=asked.limit,
        skip=asked.offset,
    )


async def list_entries(services: Services, call: Call, asked: EntryListing) -> EntryPage:
    """Keys by name or by a time. Raises InvalidArgument for a cursor that is none."""
    after = Cursor.decode(asked.cursor) if asked.cursor else None
    column = after.sort_column if after else asked.sort_column
    order = after.sort_order if after else asked.sort_order
    delimiter = DELIMITER if asked.with_delimiter else ""
    limit = min(max(asked.limit, 1), MAX_ENTRIES)
    keys = keyspace.within(asked.prefix)
    if column == _NAME:
        lower, upper = keys.lower, keys.upper
        if after is not None and order == "desc":
            upper = min(upper, after.name)
        elif after is not None:
            lower = max(lower, keyspace.resume_after(after.name, asked.prefix, delimiter or None))
        found = await storage_api.list_entries(
            services.session,
            call.scope,
            asked.bucket,
            prefix=asked.prefix,
            lower=lower,
            upper=upper,
            delimiter=delimiter,
            descending=order == "desc",
            page_size=limit + 1,
        )
    else:
        found = await storage_api.list_entries_by_time(
            services.session,
            call.scope,
            asked.bucket,
            prefix=asked.prefix,
            lower=keys.lower,
            upper=keys.upper,
            delimiter=delimiter,
            sort_column=column,
            descending=order == "desc",
            after=(after.moment, after.name) if after is not None and after.moment is not None else None,
            page_size=limit + 1,
        )
    page = found[:limit]
    if len(found) <= limit:
        return EntryPage(page, None)
    last = page[-1]
    moment = None if column == _NAME else last.created_at if column == "created_at" else last.updated_at
    return EntryPage(page, Cursor(last.name, column, order, moment).encode())


def _bad_cursor() -> StorageError:
    return StorageError("InvalidArgument", "The cursor is not one of this listing.", ArgumentName="cursor")
