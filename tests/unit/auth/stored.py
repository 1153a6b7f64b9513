"""A key as a registry keeps it."""

from dataclasses import dataclass

from gateway.auth.credentials import Credential


@dataclass(frozen=True, slots=True)
class Stored(Credential):
    """What ``Credential.of`` reads; equal to what it makes of it."""

    buckets: tuple[str, ...] | None = None
    prefix: str | None = None
    read_only: bool = False

    def __eq__(self, other):
        return Credential.of(self) == other

    __hash__ = None
