"""Names of objects: any UTF-8, as in S3; with the strict setting only what storage-api takes."""

import re
from typing import Final

from gateway.errors import StorageError
from gateway.wire.addressing import MAX_KEY_BYTES

_STRICT: Final = re.compile(r"[A-Za-z0-9_/!.*'() &$=@;:+,?-]+")


def require_key(key: str, *, strict: bool) -> None:
    """Raises StorageError(InvalidKey): empty, more than 1,024 bytes, a NUL, or not in the strict alphabet."""
    if not key or "\0" in key or len(key.encode("utf-8", "surrogatepass")) > MAX_KEY_BYTES:
        raise invalid_key(key)
    if strict and _STRICT.fullmatch(key) is None:
        raise invalid_key(key)


def invalid_key(key: str) -> StorageError:
    """The refusal of a name, which it repeats as far as it is readable."""
    shown = "".join(character if character.isprintable() else "?" for character in key[:256])
    return StorageError("InvalidKey", f"Invalid key: {shown}")
