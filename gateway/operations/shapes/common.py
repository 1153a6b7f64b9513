"""Structures that several families share."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Container for the owner's display name and ID."""

    display_name: str | None = None
    id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag:
    """A container of a key value name pair."""

    key: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Grantee:
    """Container for the person being granted permissions."""

    type: str
    display_name: str | None = None
    email_address: str | None = None
    id: str | None = None
    uri: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CommonPrefix:
    """Container for all (if there are any) keys between Prefix and the next occurrence of the string specified by a
    delimiter.
    """

    prefix: str | None = None
