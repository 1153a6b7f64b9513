"""What can be measured: the catalogue of workloads, each a name, a kind, a size and a number of connections."""

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

KIBIBYTE: Final = 1024
MEBIBYTE: Final = 1024 * KIBIBYTE
GIBIBYTE: Final = 1024 * MEBIBYTE


class Kind(StrEnum):
    """What a connection does."""

    GET = "get"
    HEAD = "head"
    PUT = "put"
    DELETE = "delete"
    MULTIPART = "multipart"
    LIST = "list"
    LIST_DELIMITER = "list-delimiter"
    MIXED = "mixed"


@dataclass(frozen=True, slots=True)
class Workload:
    """One line of the report. ``keys`` is the size of the bucket that is listed."""

    name: str
    kind: Kind
    connections: int
    size_bytes: int = 0
    keys: int = 0

    @property
    def is_large(self) -> bool:
        """An operation may take longer than a warm-up."""
        return self.size_bytes >= 16 * MEBIBYTE


def _sized(kind: Kind, *sizes: tuple[str, int, int]) -> list[Workload]:
    return [Workload(f"{kind}-{label}", kind, connections, size) for label, size, connections in sizes]


_SMALL: Final = (("1k", KIBIBYTE, 16), ("64k", 64 * KIBIBYTE, 16), ("1m", MEBIBYTE, 4))
_LARGE: Final = (("64m", 64 * MEBIBYTE, 2), ("1g", GIBIBYTE, 1))

CATALOGUE: Final = (
    *_sized(Kind.GET, *_SMALL, *_LARGE),
    *_sized(Kind.HEAD, *_SMALL),
    *_sized(Kind.PUT, *_SMALL, *_LARGE),
    *_sized(Kind.DELETE, *_SMALL),
    Workload("multipart-64m", Kind.MULTIPART, 2, 64 * MEBIBYTE),
    Workload("mixed-64k", Kind.MIXED, 16, 64 * KIBIBYTE),
    *(
        Workload(f"{kind}-1e{exponent}", kind, 4, keys=10**exponent)
        for exponent in (4, 6, 7)
        for kind in (Kind.LIST, Kind.LIST_DELIMITER)
    ),
)

SETS: Final = {
    "quick": ("get-1k", "put-1k", "get-1m", "put-1m", "list-1e4"),
    "standard": ("get-1k", "get-64k", "get-1m", "get-64m", "put-1k", "put-64k", "put-1m", "put-64m", "list-1e4"),
    "small": ("*-1k", "*-64k", "*-1m"),
    "large": ("*-64m", "*-1g"),
    "listing": ("list-1e4", "list-delimiter-1e4", "list-1e6", "list-delimiter-1e6"),
    "all": tuple(workload.name for workload in CATALOGUE if workload.keys <= 10**6),
}


def select(names: str, only: str | None = None) -> Sequence[Workload]:
    """Workloads by a set's name or comma-separated patterns, in catalogue order, filtered by the patterns ``only``.

    Raises ValueError when nothing is left.
    """
    patterns = [pattern for name in names.split(",") for pattern in SETS.get(name, (name,))]
    chosen = [one for one in CATALOGUE if _matches(one.name, patterns)]
    if only is not None:
        chosen = [one for one in chosen if _matches(one.name, only.split(","))]
    if not chosen:
        raise ValueError(f"no workload matches {names}{f' and {only}' if only else ''}")
    return chosen


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
