"""Named SQL statements, loaded from ``sql/queries/*.sql``. Python never builds SQL from text.

A file holds blocks that start with ``-- name: statement_name``; comment lines after it are its documentation.
``-- lane: quick`` among them says that the statement is a read that waits for nothing, so that it may share a
connection with others (``metadata/lane.py``); without it a statement has a connection to itself while it runs.
Parameters are written ``%(name)s`` and compiled here to ``$1``-style, so that the same text serves ordinary
cursors and prepared statements sent by hand.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Final, LiteralString

_NAME: Final = re.compile(r"^-- name: ([a-z][a-z0-9_]*)\s*$", re.MULTILINE)
_LANE: Final = re.compile(r"^-- lane: (.*)\n", re.MULTILINE)
_PARAMETER: Final = re.compile(r"%\(([a-z][a-z0-9_]*)\)s")


class Lane(StrEnum):
    """How long a statement may take. ``QUICK`` waits for no lock and no disk; everything else is ``SLOW``."""

    QUICK = "quick"
    SLOW = "slow"


@dataclass(frozen=True, slots=True)
class Statement:
    """One named statement. ``text`` uses ``$n``; ``parameters`` gives the name behind each n."""

    name: str
    text: LiteralString
    parameters: tuple[str, ...]
    lane: Lane = Lane.SLOW

    def bind(self, values: Mapping[str, Any]) -> list[Any]:
        """The values in ``$n`` order. Raises KeyError for a missing one, TypeError for one the statement lacks."""
        if len(values) != len(self.parameters):
            unknown = sorted(set(values) - set(self.parameters))
            if unknown:
                raise TypeError(f"{self.name} has no parameter {', '.join(unknown)}")
        return [values[name] for name in self.parameters]


def sql_directory() -> Path:
    """The project's ``sql/``: inside the installed package, or beside it in a checkout."""
    packaged = Path(str(resources.files("gateway"))) / "sql"
    return packaged if packaged.is_dir() else Path(__file__).resolve().parent.parent / "sql"


def parse(source: str) -> dict[str, Statement]:
    """The statements of one file's text. Raises ValueError for a name given twice or a lane there is not."""
    marks = list(_NAME.finditer(source))
    ends = [*(mark.start() for mark in marks[1:]), len(source)]
    statements: dict[str, Statement] = {}
    for mark, end in zip(marks, ends, strict=True):
        name = mark.group(1)
        if name in statements:
            raise ValueError(f"statement {name} is defined twice")
        statements[name] = _compile(name, source[mark.end() : end].strip().rstrip(";"))
    return statements


def _compile(name: str, text: str) -> Statement:
    order: dict[str, int] = {}

    def number(match: re.Match[str]) -> str:
        return f"${order.setdefault(match.group(1), len(order) + 1)}"

    lane = _LANE.search(text)
    # The text is a file of this repository, not input: here is where we answer for its being a LiteralString.
    compiled: LiteralString = _PARAMETER.sub(number, _LANE.sub("", text))
    return Statement(name, compiled, tuple(order), Lane(lane.group(1).strip()) if lane else Lane.SLOW)


@cache
def load(family: str) -> Mapping[str, Statement]:
    """The statements of ``sql/queries/<family>.sql``."""
    return parse((sql_directory() / "queries" / f"{family}.sql").read_text("utf-8"))
