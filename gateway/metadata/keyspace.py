"""Ranges of keys in byte order, and how a listing steps through them.

Postgres compares text with collation "C" by bytes, which for UTF-8 is the order of code points; a key is at most
1,024 bytes and holds no NUL. So "after k" is ``>= k + U+0001`` and "below prefix p" ends at the least string above
every string that starts with p.
"""

from dataclasses import dataclass
from typing import Final

_LAST_CODE_POINT: Final = 0x10FFFF
_BEFORE_SURROGATES: Final = 0xD7FF
_AFTER_SURROGATES: Final = 0xE000

# Greater than every key: 257 times the greatest code point is more bytes than a key may have.
END: Final = chr(_LAST_CODE_POINT) * 257


@dataclass(frozen=True, slots=True)
class KeyRange:
    """``lower <= key < upper``."""

    lower: str
    upper: str

    @property
    def is_empty(self) -> bool:
        """True if no key can be in it."""
        return self.lower >= self.upper


def successor(prefix: str) -> str:
    """The least string greater than every key that starts with ``prefix``."""
    text = prefix
    while text:
        last = ord(text[-1])
        if last < _LAST_CODE_POINT:
            following = _AFTER_SURROGATES if last == _BEFORE_SURROGATES else last + 1
            return text[:-1] + chr(following)
        text = text[:-1]
    return END


def after(key: str) -> str:
    """The least string greater than ``key`` alone."""
    return key + "\x01"


def within(prefix: str, *, lower: str = "") -> KeyRange:
    """The keys that start with ``prefix`` and are not below ``lower``."""
    return KeyRange(lower=max(prefix, lower), upper=successor(prefix))


def common_prefix(key: str, prefix: str, delimiter: str) -> str | None:
    """What ``key`` rolls up into, or None: up to and with the first delimiter after the prefix."""
    cut = key.find(delimiter, len(prefix))
    return None if cut < 0 else key[: cut + len(delimiter)]


def resume_after(entry: str, prefix: str, delimiter: str | None) -> str:
    """Where a page begins that follows ``entry``, a key or a common prefix: a prefix is passed with all its keys."""
    if delimiter and entry.startswith(prefix) and common_prefix(entry, prefix, delimiter) == entry:
        return successor(entry)
    return after(entry)
