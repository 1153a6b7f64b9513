"""The lists of ceph/s3-tests: how they are read, kept and held against the suite."""

import re
from pathlib import Path

import pytest

from conformance.ceph.execute import HERE
from conformance.ceph.lists import Entry, ListError, Lists, check, load, parse, promote, render, save

LISTS = Lists(
    implemented=(Entry("test_s3.py::test_put", "object"),),
    not_yet=(Entry("test_s3.py::test_acl", "acl", "not built"), Entry("test_s3.py::test_tag", "tagging", "not built")),
    excluded=(Entry("test_iam.py", "iam", "another API"),),
)
SUITE = {
    "test_s3.py": frozenset({"test_put", "test_acl", "test_tag"}),
    "test_iam.py": frozenset({"test_user", "test_role"}),
}


def test_parse_areas_and_reasons() -> None:
    text = "# head\n\n[list objects]\ntest_s3.py::test_a  # it is # late\n[iam]\ntest_iam.py  # other\n"
    assert parse(text, reasons=True) == (
        Entry("test_s3.py::test_a", "list objects", "it is # late"),
        Entry("test_iam.py", "iam", "other"),
    )


@pytest.mark.parametrize(
    ("text", "reasons"),
    [
        ("test_s3.py::test_a", False),
        ("[object]\ntest_s3.py::test_a", True),
        ("[object]\ntest_s3.py::test_a  # reason", False),
        ("[object]\ntest_s3.py::test_a  #", True),
        ("[object]\ntest_s3.py::test_a # one space", True),
        ("[object]\ntest_a", False),
    ],
)
def test_parse_refuses_what_it_does_not_know(text: str, reasons: bool) -> None:
    with pytest.raises(ListError, match=r"line [12]: "):
        parse(text, reasons=reasons)


def test_render_is_sorted_and_read_back() -> None:
    entries = (
        Entry("test_s3.py::test_b", "b", "x"),
        Entry("test_s3.py::test_a", "b", "y"),
        Entry("test_iam.py", "a", "z"),
    )
    text = render("# head\n", entries)
    assert text == "# head\n\n[a]\ntest_iam.py  # z\n\n[b]\ntest_s3.py::test_a  # y\ntest_s3.py::test_b  # x\n"
    assert set(parse(text, reasons=True)) == set(entries)


def test_save_keeps_the_heads(tmp_path: Path) -> None:
    for name in ("implemented", "not_yet", "excluded"):
        (tmp_path / f"{name}.txt").write_text(f"# head of {name}\n# and more\n")
    save(tmp_path, LISTS)
    assert load(tmp_path) == LISTS
    assert (tmp_path / "not_yet.txt").read_text().startswith("# head of not_yet\n# and more\n\n[acl]\n")


def test_check_accepts_every_test_listed_once() -> None:
    check(LISTS, SUITE)


@pytest.mark.parametrize(
    ("suite", "fault"),
    [
        (SUITE | {"test_s3.py": SUITE["test_s3.py"] | {"test_new"}}, "test_s3.py::test_new is in no list"),
        (SUITE | {"test_s3.py": SUITE["test_s3.py"] - {"test_put"}}, "test_s3.py::test_put is not in the suite"),
        ({"test_s3.py": SUITE["test_s3.py"]}, "test_iam.py is not in the suite"),
    ],
)
def test_check_finds_a_suite_that_moved_on(suite: dict[str, frozenset[str]], fault: str) -> None:
    with pytest.raises(ListError, match=re.escape(fault)):
        check(LISTS, suite)


def test_check_finds_a_test_in_two_lists() -> None:
    twice = Lists((*LISTS.implemented, Entry("test_s3.py::test_acl", "acl")), LISTS.not_yet, LISTS.excluded)
    with pytest.raises(ListError, match=r"test_s3\.py::test_acl is listed 2 times"):
        check(twice, SUITE)


def test_check_finds_a_test_of_an_excluded_file() -> None:
    both = Lists((*LISTS.implemented, Entry("test_iam.py::test_user", "iam")), LISTS.not_yet, LISTS.excluded)
    with pytest.raises(ListError, match=r"test_iam\.py::test_user is listed by name and by file"):
        check(both, SUITE)


def test_promote_moves_only_what_did_not_pass_yet() -> None:
    moved = promote(LISTS, ["test_s3.py::test_tag", "test_s3.py::test_put", "test_iam.py::test_user"])
    assert moved.implemented == (Entry("test_s3.py::test_put", "object"), Entry("test_s3.py::test_tag", "tagging"))
    assert moved.not_yet == LISTS.not_yet[:1]
    assert moved.excluded == LISTS.excluded


def test_checked_in_lists_name_no_test_twice() -> None:
    known = load(HERE)
    listed = [entry.test for entry in (*known.implemented, *known.not_yet, *known.excluded)]
    assert len(set(listed)) == len(listed) > 0
