"""``python -m conformance.rest``: run the suites of supabase-js's storage client and of storage3 against a Rowlock
started for them; see README.md beside this file.

Exit status: 0 if every test passed but those of ``excluded.txt``, or a suite is not present; else 1.
"""

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import venv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

import psycopg

from conformance import server
from conformance.rest import tokens

HERE: Final = Path(__file__).resolve().parent
ENVIRONMENT: Final = HERE.parent.parent / ".conformance" / "rest"
REQUIREMENTS: Final = HERE / "requirements.txt"
EXCLUDED: Final = HERE / "excluded.txt"
# Where the JavaScript client's tests look for a server; the Python client's read it from the environment.
JAVASCRIPT_PORT: Final = 54321
JAVASCRIPT_FILES: Final = ("test/storageApi.test.ts", "test/storageFileApi")
ANON_KEY_CLAIMS: Final = {"role": "anon"}
PICTURE: Final = Path("test", "fixtures", "upload", "sadcat.jpg")


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Names of the tests that passed, and of those that failed with what they said."""

    passed: tuple[str, ...]
    failed: Mapping[str, str]


def main() -> int:
    """Run the suites that are given and compare with the list of exclusions."""
    parser = argparse.ArgumentParser(prog="python -m conformance.rest", description=__doc__)
    parser.add_argument("--storage-js", type=Path, default=_named("ROWLOCK_STORAGE_JS_SUITE"))
    parser.add_argument("--storage3", type=Path, default=_named("ROWLOCK_STORAGE3_SUITE"))
    parser.add_argument("--run-seconds", type=int, default=900, help="bound of each suite (default: 900)")
    asked = parser.parse_args()
    runs = {
        "storage-js": (asked.storage_js, _javascript),
        "storage3": (asked.storage3, _python),
    }
    failed = False
    for name, (folder, run) in runs.items():
        if folder is None or not folder.is_dir():
            print(f"{name}: suite not present")
            continue
        failed |= not _conclude(name, run(folder.resolve(), asked.run_seconds))
    return 1 if failed else 0


def _named(variable: str) -> Path | None:
    value = os.environ.get(variable)
    return Path(value) if value else None


def _conclude(name: str, outcomes: Outcomes) -> bool:
    excluded = excluded_tests(name)
    unexpected = {test: said for test, said in outcomes.failed.items() if test not in excluded}
    stale = [test for test in excluded if test in outcomes.passed]
    for test, said in unexpected.items():
        print(f"{name}: failed: {test}: {said[:300]}")
    for test in stale:
        print(f"{name}: passes by now, take it out of excluded.txt: {test}")
    kept = len(outcomes.failed) - len(unexpected)
    print(f"{name}: {len(outcomes.passed)} passed, {len(unexpected)} failed, {kept} excluded")
    return not unexpected and bool(outcomes.passed)


def excluded_tests(suite: str) -> dict[str, str]:
    """The tests of a suite that need not pass, with the reason: lines of ``suite | test | reason``."""
    found = {}
    for line in EXCLUDED.read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            name, test, reason = (part.strip() for part in line.split(" | "))
            if name == suite:
                found[test] = reason
    return found


def _javascript(folder: Path, run_seconds: int) -> Outcomes:
    """jest over a copy of the suite, which npm may write into."""
    npm, npx = shutil.which("npm"), shutil.which("npx")
    if npm is None or npx is None:
        return Outcomes((), {"npm": "there is no npm on this machine"})
    copy = ENVIRONMENT / "storage-js"
    shutil.copytree(folder, copy, dirs_exist_ok=True)
    picture = copy / PICTURE
    if not picture.exists():
        # left out of some copies of the suite, as a binary file; what it shows matters to none of these tests
        picture.write_bytes(b"\xff\xd8\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0" + bytes(30_000) + b"\xff\xd9")
    subprocess.run([npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--silent"], cwd=copy, check=True)
    with tempfile.TemporaryDirectory(prefix="rowlock-rest-") as name:
        report = Path(name, "report.json")
        running = _start(JAVASCRIPT_PORT)
        try:
            _seed(running, folder / "test" / "supabase" / "seed.sql", with_users=True)
            command = [
                npx,
                "jest",
                "--runInBand",
                "--coverage=false",
                "--forceExit",
                "--json",
                f"--outputFile={report}",
            ]
            _bounded([*command, *JAVASCRIPT_FILES], copy, dict(os.environ), run_seconds)
        finally:
            server.stop(running)
        return jest_outcomes(report.read_text("utf-8") if report.exists() else "{}")


def jest_outcomes(report: str) -> Outcomes:
    """What jest's JSON says."""
    passed: list[str] = []
    failed: dict[str, str] = {}
    for file in json.loads(report).get("testResults", []):
        if not file["assertionResults"] and file["status"] == "failed":
            failed[file["name"]] = file["message"]
        for test in file["assertionResults"]:
            if test["status"] == "passed":
                passed.append(test["fullName"])
            elif test["status"] == "failed":
                failed[test["fullName"]] = re.sub(r"\x1b\[[0-9;]*m|\s+", " ", " ".join(test["failureMessages"]))
    return Outcomes(tuple(passed), failed)


def _python(folder: Path, run_seconds: int) -> Outcomes:
    """pytest in an environment of its own."""
    python = _prepare()
    with tempfile.TemporaryDirectory(prefix="rowlock-rest-") as name:
        report = Path(name, "report.xml")
        running = _start(None)
        try:
            for migration in sorted((folder / "infra" / "supabase" / "migrations").glob("*.sql")):
                _seed(running, migration, with_users=False)
            environment = {
                **os.environ,
                "PYTHONPATH": str(folder / "src"),
                "PYTHONDONTWRITEBYTECODE": "1",
                "SUPABASE_TEST_URL": f"http://127.0.0.1:{running.port}/storage/v1/",
                "SUPABASE_TEST_KEY": tokens.mint(ANON_KEY_CLAIMS),
            }
            command = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", "tests"]
            _bounded(command, folder, environment, run_seconds)
        finally:
            server.stop(running)
        return junit_outcomes(report.read_text("utf-8") if report.exists() else "<none/>")


def junit_outcomes(report: str) -> Outcomes:
    """What pytest's XML says."""
    passed: list[str] = []
    failed: dict[str, str] = {}
    for case in ET.fromstring(report).iter("testcase"):  # noqa: S314 - pytest wrote it
        name = f"{case.get('classname')}::{case.get('name')}"
        problem = case.find("failure") if case.find("failure") is not None else case.find("error")
        if problem is not None:
            failed[name] = problem.get("message") or ""
        elif case.find("skipped") is None:
            passed.append(name)
    return Outcomes(tuple(passed), failed)


def _bounded(command: list[str], folder: Path, environment: Mapping[str, str], seconds: int) -> None:
    """Run a suite in a session of its own, which ends in time whatever the suite started; its report says the rest."""
    process = subprocess.Popen(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        print(f"ended after {seconds} s", file=sys.stderr)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _prepare() -> Path:
    """The Python environment, renewed when the requirements change."""
    folder = ENVIRONMENT / "python"
    python, stamp = folder / "bin" / "python", folder / "requirements"
    wanted = REQUIREMENTS.read_text("utf-8")
    if not stamp.exists() or stamp.read_text("utf-8") != wanted:
        venv.create(folder, with_pip=True, clear=folder.exists())
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "-r", str(REQUIREMENTS)], check=True)
        stamp.write_text(wanted, "utf-8")
    return python


def _start(rest_port: int | None) -> server.RunningServer:
    """A server with the suites' secret; for the JavaScript suite on the port it expects, too."""
    settings = {"ROWLOCK_JWT_SECRET": tokens.SECRET}
    if rest_port is not None:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", rest_port))
        settings["ROWLOCK_REST_PORT"] = str(rest_port)
    ENVIRONMENT.mkdir(parents=True, exist_ok=True)
    return server.start(settings=settings)


def _seed(running: server.RunningServer, script: Path, *, with_users: bool) -> None:
    """Run a suite's own SQL. Its users are rows of Supabase's auth service, of which only the table is needed."""
    url = running.run("db", "url").stdout.strip().splitlines()[-1]
    with psycopg.connect(url, autocommit=True) as connection:
        if with_users:
            connection.execute((HERE / "users.sql").read_text("utf-8"))
        connection.execute(script.read_text("utf-8"))


if __name__ == "__main__":
    sys.exit(main())
