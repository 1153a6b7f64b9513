"""Parameters for the wire: as text, for every parameter has an explicit cast in its statement; bytes as they are."""

from collections.abc import Sequence
from typing import Any, Final

import psycopg
from psycopg.adapt import PyFormat, Transformer
from psycopg.pq import Format

_OTHER_TYPES: Final = Transformer()


def encode_text(text: str) -> bytes:
    """UTF-8. Raises psycopg.DataError for what Postgres's text cannot hold: NUL, and half a surrogate pair."""
    try:
        encoded = text.encode()
    except UnicodeEncodeError as error:
        raise psycopg.DataError("text that is not valid Unicode") from error
    if b"\0" in encoded:
        raise psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes")
    return encoded


def encode_texts(joined: str, count: int) -> list[bytes]:
    """``count`` texts that were joined with NUL, as :func:`encode_text` has each. Raises psycopg.DataError."""
    try:
        encoded = joined.encode().split(b"\0")
    except UnicodeEncodeError as error:
        raise psycopg.DataError("text that is not valid Unicode") from error
    if len(encoded) != count:
        raise psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes")
    return encoded


def encode(values: Sequence[Any]) -> tuple[list[bytes | None], list[Format] | None]:
    """Values and their formats (None: all are text). Raises psycopg.DataError for a value Postgres cannot hold,
    psycopg.ProgrammingError for a type there is no text for."""
    encoded: list[bytes | None] = []
    formats: list[Format] | None = None
    for index, value in enumerate(values):
        if value is None:
            encoded.append(None)
        elif isinstance(value, str):
            encoded.append(encode_text(value))
        elif isinstance(value, bytes):
            encoded.append(value)
            if formats is None:
                formats = [Format.TEXT] * len(values)
            formats[index] = Format.BINARY
        elif isinstance(value, bool):
            encoded.append(b"t" if value else b"f")
        elif isinstance(value, int):
            encoded.append(b"%d" % value)
        else:
            encoded.append(_encode_other(value))
    return encoded, formats


def _encode_other(value: Any) -> bytes | None:
    try:
        dumped = _OTHER_TYPES.get_dumper(value, PyFormat.TEXT).dump(value)
    except UnicodeEncodeError as error:
        raise psycopg.DataError("text that is not valid Unicode") from error
    return None if dumped is None else bytes(dumped)
