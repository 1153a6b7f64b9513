"""The tables in README.md and docs/ that are made from the code."""

import re

import pytest

from conformance import report

PAGES = sorted(
    path.relative_to(report.ROOT).as_posix()
    for path in (*report.ROOT.glob("*.md"), *(report.ROOT / "docs").glob("*.md"), *(report.ROOT / "sql").glob("*.md"))
)
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def test_generated_tables_are_fresh() -> None:
    stale = [path.name for path, before, after in report.renewed() if before != after]
    assert not stale, "run: .venv/bin/python -m conformance.report"


def test_stale_table_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "OPERATIONS", report.OPERATIONS[1:])
    stale = {path.name for path, before, after in report.renewed() if before != after}
    assert stale == {"README.md", "policies.md"}


def test_table_counts_every_operation_of_S3_once() -> None:
    rows = [line.split(" | ") for line in report.operations().splitlines()[2:]]
    names = [name for row in rows for name in row[2].rstrip(" |").split(", ")]
    assert len(names) == len(set(names)) == sum(int(row[1]) for row in rows)
    assert {operation.name for operation in report.OPERATIONS} <= set(names)


@pytest.mark.parametrize("page", PAGES)
def test_links_of_pages_lead_somewhere(page: str) -> None:
    text = (report.ROOT / page).read_text("utf-8")
    relative = [link for link in LINK.findall(text) if not re.match(r"[a-z]+:", link)]
    assert [link for link in relative if not (report.ROOT / page).parent.joinpath(link).exists()] == []
