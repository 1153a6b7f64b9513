"""The checked-in lists: which tests of the suite must pass, which do not pass yet, which never will, and why.

A line is ``test_s3.py::test_name`` or, for a whole file, ``test_iam.py``; outside ``implemented.txt`` it is followed by
two spaces, ``#`` and a reason. ``[area]`` lines group them.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

IMPLEMENTED: Final = "implemented"
NOT_YET: Final = "not_yet"
EXCLUDED: Final = "excluded"
NAMES: Final = (IMPLEMENTED, NOT_YET, EXCLUDED)

_AREA: Final = re.compile(r"\[([\w/ .-]+)\]")
_TEST: Final = re.compile(r"(test_\w+\.py(?:::test_\w+)?)(?:  # (\S.*))?")


class ListError(Exception):
    """A list cannot be read, or the lists contradict each other or the suite."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One test, or one whole file, of the suite."""

    test: str
    area: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Lists:
    """All lists, in the order they are kept in the files."""

    implemented: tuple[Entry, ...]
    not_yet: tuple[Entry, ...]
    excluded: tuple[Entry, ...]

    def __getitem__(self, name: str) -> tuple[Entry, ...]:
        """The entries of the list called ``name``."""
        return {IMPLEMENTED: self.implemented, NOT_YET: self.not_yet, EXCLUDED: self.excluded}[name]


def parse(text: str, *, reasons: bool) -> tuple[Entry, ...]:
    """Read one list; with ``reasons``, every entry must give one. Raises ListError naming the line."""
    entries: list[Entry] = []
    area = ""
    for number, line in enumerate(text.splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        if section := _AREA.fullmatch(line):
            area = section[1]
            continue
        match = _TEST.fullmatch(line)
        if match is None or not area or bool(match[2]) is not reasons:
            raise ListError(f"line {number}: expected [area] or a test{' with a reason' * reasons}, got {line!r}")
        entries.append(Entry(match[1], area, match[2] or ""))
    return tuple(entries)


def render(head: str, entries: Iterable[Entry]) -> str:
    """The text of a list: its head, then the areas and in them the tests, both in alphabetical order."""
    lines = [head.rstrip("\n")]
    area = None
    for entry in sorted(entries, key=lambda entry: (entry.area, entry.test)):
        if entry.area != area:
            area = entry.area
            lines += ["", f"[{area}]"]
        lines.append(f"{entry.test}  # {entry.reason}" if entry.reason else entry.test)
    return "\n".join(lines) + "\n"


def load(directory: Path) -> Lists:
    """Read all lists. Raises ListError."""
    found: dict[str, tuple[Entry, ...]] = {}
    for name in NAMES:
        path = directory / f"{name}.txt"
        try:
            found[name] = parse(path.read_text("utf-8"), reasons=name != IMPLEMENTED)
        except ListError as error:
            raise ListError(f"{path.name}, {error}") from None
    return Lists(**found)


def save(directory: Path, lists: Lists) -> None:
    """Write all lists; the comment at the head of each file stays."""
    for name in NAMES:
        path = directory / f"{name}.txt"
        head = re.match(r"(?:#.*\n)*", path.read_text("utf-8"))
        path.write_text(render(head[0] if head else "", lists[name]), "utf-8")


def check(lists: Lists, suite: Mapping[str, frozenset[str]]) -> None:
    """Every test of the suite (its tests by file) stands in exactly one list, by name or by file. Raises ListError."""
    listed = Counter(entry.test for name in NAMES for entry in lists[name])
    faults = [f"{test} is listed {count} times" for test, count in listed.items() if count > 1]
    whole_files = {test for test in listed if "::" not in test}
    tests = {f"{file}::{test}" for file, names in suite.items() for test in names}
    faults += [f"{test} is not in the suite" for test in sorted(listed.keys() - tests - suite.keys())]
    for test in sorted(tests):
        file = test.partition("::")[0]
        if (test in listed) + (file in whole_files) != 1:
            faults.append(f"{test} is {'listed by name and by file' if test in listed else 'in no list'}")
    if faults:
        raise ListError("\n".join(faults))


def promote(lists: Lists, passed: Iterable[str]) -> Lists:
    """Move those of ``not_yet`` that passed to ``implemented``."""
    moving = frozenset(passed)
    return replace(
        lists,
        implemented=(
            *lists.implemented,
            *(replace(entry, reason="") for entry in lists.not_yet if entry.test in moving),
        ),
        not_yet=tuple(entry for entry in lists.not_yet if entry.test not in moving),
    )
