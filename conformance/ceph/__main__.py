"""``python -m conformance.ceph``: run ceph/s3-tests against a Rowlock started for it; see README.md beside this file.

Exit status: 0 if every test of ``implemented.txt`` that was run passed, or the suite is not present; else 1.
"""

import argparse
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

from conformance.ceph import lists, suite
from conformance.ceph.execute import HERE, LOG, Plan, Run, execute, prepare
from conformance.ceph.lists import IMPLEMENTED, NAMES, NOT_YET, ListError, Lists

MESSAGE_CHARACTERS: Final = 200
# Over TLS the SDK sends the body in chunks and takes away the malformed Content-Length that this test plants.
PLAIN_HTTP_ONLY: Final = frozenset({"test_headers.py::test_object_create_bad_contentlength_empty"})


def main() -> int:
    """Run what is asked for, compare it with the lists, and say so."""
    asked = _arguments()
    # Whoever ends the run early still finds server and suite stopped.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    folder = suite.find(asked.suite)
    if folder is None:
        print("suite not present")
        return 0
    try:
        known = lists.load(HERE)
        lists.check(known, suite.tests_by_file(folder))
        tests = _selection(known, suite.tests_by_file(folder), asked)
    except ListError as error:
        print(error, file=sys.stderr)
        return 1
    if not tests:
        print("no test matches")
        return 1
    plan = Plan(folder, tests, asked.https, asked.workers, asked.test_seconds, asked.run_seconds)
    try:
        run = execute(prepare(), plan)
    except subprocess.CalledProcessError as error:
        print(error, error.stderr or "", sep="\n", file=sys.stderr)
        return 1
    return _conclude(known, run, asked)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m conformance.ceph", description=__doc__)
    parser.add_argument("--suite", type=Path, help=f"a checkout of ceph/s3-tests (default: {suite.VARIABLE})")
    parser.add_argument("--list", choices=NAMES, action="append", help=f"which lists to run (default: {IMPLEMENTED})")
    parser.add_argument("--all", action="store_true", help="run the tests that do not pass yet, too")
    parser.add_argument("--update", action="store_true", help="as --all, and move what newly passes to implemented")
    parser.add_argument("--only", metavar="PATTERN", help="only tests whose name matches; their output is shown")
    parser.add_argument("--https", action="store_true", help="over TLS: SDKs then send checksums as trailers")
    parser.add_argument("--workers", type=int, default=5, help="tests at the same time (default: 5; many only wait)")
    parser.add_argument("--test-seconds", type=int, default=120, help="bound of a test (default: 120)")
    parser.add_argument("--run-seconds", type=int, default=1200, help="bound of the run (default: 1200)")
    return parser.parse_args()


def _selection(known: Lists, files: dict[str, frozenset[str]], asked: argparse.Namespace) -> tuple[str, ...]:
    names = asked.list or ([IMPLEMENTED, NOT_YET] if asked.all or asked.update else [IMPLEMENTED])
    tests: list[str] = []
    for entry in (entry for name in names for entry in known[name]):
        whole_file = "::" not in entry.test
        tests += [f"{entry.test}::{test}" for test in sorted(files[entry.test])] if whole_file else [entry.test]
    left_out = PLAIN_HTTP_ONLY if asked.https else frozenset()
    return tuple(test for test in tests if test not in left_out and re.search(asked.only or "", test))


def _conclude(known: Lists, run: Run, asked: argparse.Namespace) -> int:
    """Print what deviates from the lists; with --update, change them. Returns the exit status."""
    if asked.only:
        print(LOG.read_text("utf-8", errors="replace"))
    must_pass = {entry.test for entry in known.implemented}
    passed = [test for test, outcome in run.outcomes.items() if outcome.passed]
    broken = [test for test, outcome in run.outcomes.items() if not outcome.passed and test in must_pass]
    news = [test for test in passed if test not in must_pass]
    for test in broken:
        print(f"stopped passing: {test}: {run.outcomes[test].message[:MESSAGE_CHARACTERS]}")
    for test in news:
        print(f"newly passes: {test}")
    if asked.update:
        lists.save(HERE, lists.promote(known, passed))
    elif any(entry.test in news for entry in known.not_yet):
        print("move them: python -m conformance.ceph --update")
    for fault in run.faults:
        print(f"fault: {fault}")
    if broken or run.faults:
        print(f"the whole output: {LOG}")
    print(f"{len(passed)} passed, {len(run.outcomes) - len(passed)} failed")
    return 1 if broken or run.faults else 0


if __name__ == "__main__":
    sys.exit(main())
