"""What a run of the suite gave: JUnit XML, one outcome a test function, compared with the lists."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lxml import etree

NOT_RUN = "did not run: the run ended before it"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a test function fared; with several parameters it passed only if it passed with all of them."""

    passed: bool
    message: str = ""
    seconds: float = 0.0


def read(report: Path) -> dict[str, Outcome]:
    """Outcomes by ``file.py::test``; none if the report was never written or is cut short."""
    try:
        root = etree.parse(str(report)).getroot()
    except (OSError, etree.XMLSyntaxError):
        return {}
    outcomes: dict[str, Outcome] = {}
    for case in root.iter("testcase"):
        file = case.get("classname", "").rpartition(".")[2]
        name = case.get("name", "").partition("[")[0]
        trouble = [element for tag in ("failure", "error", "skipped") for element in case.iterchildren(tag)]
        message = f"{trouble[0].tag!s}: {trouble[0].get('message', '')}" if trouble else ""
        test = f"{file}.py::{name}"
        before = outcomes.get(test, Outcome(passed=True))
        outcomes[test] = Outcome(
            passed=before.passed and not trouble,
            message=before.message or message,
            seconds=before.seconds + float(case.get("time", "0")),
        )
    return outcomes


def of(outcomes: dict[str, Outcome], tests: Iterable[str]) -> dict[str, Outcome]:
    """The outcomes of these tests; one that never reported has failed."""
    return {test: outcomes.get(test, Outcome(passed=False, message=NOT_RUN)) for test in tests}
