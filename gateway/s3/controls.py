"""Control characters in request documents.

Keys may hold characters that XML 1.0 has no way to write, and boto3 writes them raw into DeleteObjects. A strict parser
would make such objects impossible to delete in bulk, so they travel through it as characters of a private plane.
"""

import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, Final

from gateway.errors import StorageError

_RAW: Final = re.compile(rb"[\x01-\x08\x0b\x0c\x0e-\x1f]")
_REFERENCE: Final = re.compile(rb"&#(?:x0*(1?[0-9a-fA-F])|0*([12]?[0-9]|3[01]));")
_LEGAL: Final = frozenset({0x9, 0xA, 0xD})
_PLANE: Final = 0xF0000
_STAND_IN: Final = re.compile(f"[{chr(_PLANE)}-{chr(_PLANE + 0x1F)}]")


def protect(document: bytes) -> tuple[bytes, bool]:
    """The document with stand-ins for what XML cannot hold, and whether there was any.

    Raises StorageError(MalformedXML) for NUL, and when the stand-ins already occur in it.
    """
    marked = _REFERENCE.sub(_from_reference, _RAW.sub(lambda found: _stand_in(found.group()[0]), document))
    if marked == document:
        return document, False
    if _STAND_IN.search(document.decode("utf-8", "replace")):
        raise StorageError("MalformedXML")
    return marked, True


def restore(value: Any) -> Any:
    """A record read from a protected document, with the characters themselves."""
    match value:
        case str():
            return _STAND_IN.sub(lambda found: chr(ord(found.group()) - _PLANE), value)
        case tuple():
            return tuple(restore(item) for item in value)
        case Mapping():
            return {name: restore(item) for name, item in value.items()}
        case _ if is_dataclass(value) and not isinstance(value, type):
            return replace(value, **{field.name: restore(getattr(value, field.name)) for field in fields(value)})
        case _:
            return value


def _stand_in(code: int) -> bytes:
    return chr(_PLANE + code).encode("utf-8")


def _from_reference(found: re.Match[bytes]) -> bytes:
    code = int(found.group(1), 16) if found.group(1) is not None else int(found.group(2))
    if code == 0:
        raise StorageError("MalformedXML")
    return found.group() if code in _LEGAL else _stand_in(code)
