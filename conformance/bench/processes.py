"""CPU time and memory of a server and everything it started, from ``/proc``. Postgres is counted apart."""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")
_DATABASE_PROGRAMS: Final = ("postgres", "postmaster")
_KIBIBYTE: Final = 1024


@dataclass(frozen=True, slots=True)
class Usage:
    """Sums over a process tree."""

    server: float = 0.0
    database: float = 0.0

    def __sub__(self, other: "Usage") -> "Usage":
        return Usage(self.server - other.server, self.database - other.database)

    @property
    def total(self) -> float:
        """Both."""
        return self.server + self.database


@dataclass(frozen=True, slots=True)
class _Process:
    pid: int
    parent: int
    program: str
    cpu_seconds: float


def _read(pid: int) -> _Process | None:
    with contextlib.suppress(OSError):
        text = Path(f"/proc/{pid}/stat").read_text()
        program = text[text.index("(") + 1 : text.rindex(")")]
        fields = text[text.rindex(")") + 2 :].split()
        # utime, stime and those of children that ended and were waited for: nothing gets lost when a process ends
        ticks = sum(int(fields[index]) for index in (11, 12, 13, 14))
        return _Process(pid, int(fields[1]), program, ticks / _TICKS_PER_SECOND)
    return None


def tree(root: int) -> list[_Process]:
    """The process and all its living descendants."""
    children: dict[int, list[_Process]] = {}
    found: list[_Process] = []
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (process := _read(int(entry))) is not None:
            children.setdefault(process.parent, []).append(process)
            if process.pid == root:
                found.append(process)
    for process in found:
        found.extend(children.get(process.pid, ()))
    return found


def _sum(values: list[tuple[str, float]]) -> Usage:
    database = sum(value for program, value in values if program in _DATABASE_PROGRAMS)
    return Usage(sum(value for _, value in values) - database, database)


def cpu_seconds(root: int) -> Usage:
    """CPU time used so far, in seconds."""
    return _sum([(process.program, process.cpu_seconds) for process in tree(root)])


def memory_bytes(root: int) -> Usage:
    """Proportional set size now: shared pages are divided among those who share them. Unreadable processes are 0."""
    return _sum([(process.program, float(_proportional_set_size_bytes(process.pid))) for process in tree(root)])


def _proportional_set_size_bytes(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * _KIBIBYTE
    return 0
