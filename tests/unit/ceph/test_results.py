"""What the runner makes of a run's report, of the server's log and of a checkout."""

from pathlib import Path

from conformance.ceph.execute import server_faults
from conformance.ceph.results import NOT_RUN, Outcome, of, read
from conformance.ceph.suite import VARIABLE, find, function_names

REPORT = """<testsuites><testsuite>
<testcase classname="s3tests.functional.test_s3" name="test_put" time="0.5" />
<testcase classname="s3tests.functional.test_s3" name="test_copy[a-b]" time="1" />
<testcase classname="s3tests.functional.test_s3" name="test_copy[a-c]" time="2"><failure message="no" /></testcase>
<testcase classname="s3tests.functional.test_s3" name="test_class"><skipped message="why" /></testcase>
<testcase classname="s3tests.functional.test_headers" name="test_put"><error message="in teardown" /></testcase>
</testsuite></testsuites>"""


def test_read_one_outcome_a_function(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(REPORT)
    assert read(report) == {
        "test_s3.py::test_put": Outcome(passed=True, seconds=0.5),
        "test_s3.py::test_copy": Outcome(passed=False, message="failure: no", seconds=3.0),
        "test_s3.py::test_class": Outcome(passed=False, message="skipped: why"),
        "test_headers.py::test_put": Outcome(passed=False, message="error: in teardown"),
    }


def test_read_no_report_or_half_a_report(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    assert read(report) == {}
    report.write_text(REPORT[:100])
    assert read(report) == {}


def test_of_what_did_not_report_has_failed() -> None:
    passed = Outcome(passed=True)
    assert of({"a": passed, "b": passed}, ["a", "c"]) == {"a": passed, "c": Outcome(passed=False, message=NOT_RUN)}


def test_server_faults_counts_answers_500() -> None:
    failed = '{"status": 500, "operation": "PutObject"}'
    faults = server_faults("\n".join([failed, "Traceback:", '{"status": 501}', "7", failed]))
    assert len(faults) == 1
    assert faults[0].startswith("PutObject was answered 500 2 times")


def test_function_names_top_level_tests() -> None:
    source = "def test_a(): pass\ndef test_a(): pass\ndef helper():\n    def test_inner(): pass\ndef test_b(x): pass\n"
    assert function_names(source) == {"test_a", "test_b"}


def test_find_the_folder_given_or_named(tmp_path: Path) -> None:
    (tmp_path / "s3tests" / "functional").mkdir(parents=True)
    assert find(tmp_path, {}) == tmp_path.resolve()
    assert find(None, {VARIABLE: str(tmp_path)}) == tmp_path.resolve()
    assert find(tmp_path / "s3tests", {VARIABLE: str(tmp_path)}) is None
    assert find(None, {}) is None
