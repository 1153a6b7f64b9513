"""Texts an operator writes, in settings and about tenants: lists with commas, and URLs."""

from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

WEB: Final = ("http", "https")


def comma_separated(text: str) -> list[str]:
    """The texts between commas, without blanks around them and without empty ones."""
    return [part for piece in text.split(",") if (part := piece.strip())]


def is_plain_url(url: str, schemes: Collection[str] = WEB) -> bool:
    """Whether something can be asked there: one of these schemes, a host, a possible port, no password."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in schemes and bool(parts.hostname) and parts.username is None and parts.port != 0
    except ValueError:
        return False
    return usable and url.isascii() and url.isprintable() and " " not in url


def is_of_this_machine(url: str) -> bool:
    """Whether a plain URL leads to the machine itself."""
    return urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1")
