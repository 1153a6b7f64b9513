"""Header values that enter and leave: nothing a client stored may ever split or forge an answer."""

import re
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from email.utils import formatdate
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from typing import Final
from urllib.parse import quote

from gateway.errors import StorageError

MAX_USER_METADATA_BYTES: Final = 2048
USER_METADATA_PREFIX: Final = "x-amz-meta-"

# Objects are untrusted content on the API's own origin: no sniffing, no scripts, no same-origin reads.
PROTECTIVE_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"sandbox; default-src 'none'"),
)

_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()
# Headers with one of these in their name may hold a credential; SQL never sees them.
_SECRET_WORD: Final = re.compile("authorization|cookie|key|password|secret|signature|token")
_UNSAFE: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_UNQUOTABLE: Final = re.compile(r'[^\x20-\x7e]|["\\%/]')
# Bidirectional controls make a name look like another one in a download dialogue.
_INVISIBLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def safe_value(value: str, name: str = "header") -> bytes:
    """A header value ready to send, in UTF-8. Raises StorageError(InvalidArgument) for CR, LF, NUL and the other
    control characters that RFC 9110 §5.5 forbids."""
    if not value.isprintable() and _UNSAFE.search(value) is not None:
        raise StorageError("InvalidArgument", "A header value holds a control character.", ArgumentName=name)
    return value.encode("utf-8")


def stored_content_encoding(value: str | None) -> str | None:
    """Content-Encoding as it is stored: without ``aws-chunked``, which only codes the transfer; None for nothing."""
    if value is None:
        return None
    kept = [token for part in value.split(",") if (token := part.strip()) and token.lower() != "aws-chunked"]
    return ", ".join(kept) or None


def user_metadata(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The ``x-amz-meta-*`` entries, names lower-case and without the prefix, repeats joined with commas.

    Raises StorageError: MetadataTooLarge when names and values exceed 2 KiB, InvalidArgument for control characters
    (https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html).
    """
    entries: dict[str, str] = {}
    size = 0
    for raw_name, value in headers:
        name = raw_name.lower()
        if not name.startswith(USER_METADATA_PREFIX):
            continue
        name = name.removeprefix(USER_METADATA_PREFIX)
        size += len(name.encode("utf-8")) + len(safe_value(value, raw_name))
        entries[name] = f"{entries[name]},{value}" if name in entries else value
    if size > MAX_USER_METADATA_BYTES:
        raise StorageError("MetadataTooLarge", Size=str(size), MaxSizeAllowed=str(MAX_USER_METADATA_BYTES))
    return entries


def attachment(filename: str) -> str:
    """A Content-Disposition that saves under the last segment of ``filename`` (RFC 6266, RFC 8187)."""
    name = _INVISIBLE.sub("", filename.replace("\\", "/").rsplit("/", 1)[-1])
    if not name:
        return "attachment"
    plain = _UNQUOTABLE.sub("_", name)
    if plain == name:
        return f'attachment; filename="{plain}"'
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def http_date(moment: datetime) -> str:
    """An IMF-fixdate (RFC 9110 §5.6.7). ``moment`` must be in UTC."""
    return f"{_day(moment.toordinal())} {moment.hour:02d}:{moment.minute:02d}:{moment.second:02d} GMT"


@lru_cache(maxsize=1024)
def _day(ordinal: int) -> str:
    # The rest of the date changes with every object, the day rarely; and no locale has a say in it.
    return formatdate((ordinal - _EPOCH_ORDINAL) * 86_400, usegmt=True)[:16]


def visible_headers(headers: Mapping[str, str]) -> str:
    """The headers as JSON for ``request.headers`` in policies, without any that may hold a credential."""
    quoted = encode_basestring_ascii
    fields = [f"{quoted(name)}: {quoted(value)}" for name, value in headers.items() if _is_visible(name)]
    return f"{{{', '.join(fields)}}}"


@lru_cache(maxsize=256)
def _is_visible(name: str) -> bool:
    return _SECRET_WORD.search(name) is None
