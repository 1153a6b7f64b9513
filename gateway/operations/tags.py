"""Sets of tags: what a document or a header asks for, held against S3's limits. Pure.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html and, for what a tag may hold,
https://docs.aws.amazon.com/AmazonS3/latest/API/API_control_S3Tag.html.
"""

import unicodedata
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import unquote_to_bytes

from gateway.errors import StorageError
from gateway.operations.shapes import Tag

MAX_OBJECT_TAGS: Final = 10
MAX_BUCKET_TAGS: Final = 50
MAX_KEY_CHARACTERS: Final = 128
MAX_VALUE_CHARACTERS: Final = 256

_HEADER: Final = "x-amz-tagging"
_PUNCTUATION: Final = frozenset("+-=._:/@")
# Letters, spaces and numbers of any script.
_CATEGORIES: Final = frozenset("LZN")
_RESERVED_PREFIX: Final = "aws:"


def object_tags(tags: Iterable[Tag]) -> dict[str, str]:
    """The tags of an object. Raises StorageError(InvalidTag)."""
    return _checked(((tag.key, tag.value) for tag in tags), MAX_OBJECT_TAGS, "Object tags cannot be greater than 10")


def bucket_tags(tags: Iterable[Tag]) -> dict[str, str]:
    """The tags of a bucket. Raises StorageError(InvalidTag)."""
    return _checked(
        ((tag.key, tag.value) for tag in tags), MAX_BUCKET_TAGS, "Bucket tag count cannot be greater than 50"
    )


def header_tags(value: str | None) -> dict[str, str] | None:
    """The tags of ``x-amz-tagging: key=value&key2``, percent-encoded; None without the header.

    Raises StorageError: InvalidArgument when it cannot be read, InvalidTag for what it says.
    """
    if value is None:
        return None
    pairs = [_pair(part) for part in value.split("&") if part]
    if len({key for key, _ in pairs}) != len(pairs):
        raise _malformed_header(value)
    return _checked(pairs, MAX_OBJECT_TAGS, "Object tags cannot be greater than 10")


def tag_set(tags: Mapping[str, str] | None) -> tuple[Tag, ...]:
    """A stored set as the element S3 answers with, in the order of the keys."""
    return tuple(Tag(key=key, value=value) for key, value in sorted((tags or {}).items()))


def _checked(pairs: Iterable[tuple[str, str]], limit: int, too_many: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in pairs:
        if not 1 <= len(key) <= MAX_KEY_CHARACTERS or not _is_allowed(key):
            raise StorageError("InvalidTag", "The TagKey you have provided is invalid", TagKey=_shown(key))
        if key.lower().startswith(_RESERVED_PREFIX):
            raise StorageError("InvalidTag", "Your TagKey cannot be prefixed with aws:", TagKey=_shown(key))
        if len(value) > MAX_VALUE_CHARACTERS or not _is_allowed(value):
            raise StorageError("InvalidTag", "The TagValue you have provided is invalid", TagKey=_shown(key))
        if key in found:
            raise StorageError("InvalidTag", "Cannot provide multiple Tags with the same key", TagKey=_shown(key))
        found[key] = value
        if len(found) > limit:
            raise StorageError("InvalidTag", too_many)
    return found


def _is_allowed(text: str) -> bool:
    return all(character in _PUNCTUATION or unicodedata.category(character)[0] in _CATEGORIES for character in text)


def _shown(key: str) -> str:
    return "".join(character if character.isprintable() else "\ufffd" for character in key[:MAX_KEY_CHARACTERS])


def _pair(part: str) -> tuple[str, str]:
    key, _, value = part.partition("=")
    return _decoded(key, part), _decoded(value, part)


def _decoded(text: str, part: str) -> str:
    try:
        return unquote_to_bytes(text.replace("+", " ")).decode("utf-8")
    except UnicodeDecodeError:
        raise _malformed_header(part) from None


def _malformed_header(value: str) -> StorageError:
    return StorageError(
        "InvalidArgument",
        "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name "
        "duplicates.",
        ArgumentName=_HEADER,
        ArgumentValue=value[:1024],
    )
