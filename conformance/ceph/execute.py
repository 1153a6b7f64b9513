"""One run: the suite's own Python environment, a server, pytest over the chosen tests; everything bounded in time."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import venv
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final

from conformance import server
from conformance.ceph import accounts, results, suite, worker

HERE: Final = Path(__file__).resolve().parent
REPOSITORY: Final = HERE.parent.parent
ENVIRONMENT: Final = REPOSITORY / ".conformance" / "ceph"
REQUIREMENTS: Final = HERE / "requirements.txt"
LOG: Final = ENVIRONMENT / "pytest.log"
SERVER_LOG: Final = ENVIRONMENT / "server.log"
PYTEST: Final = ("-p", "no:cacheprovider", "-p", "conformance.ceph.worker", "-W", "ignore", "-q", "--tb=short")


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run and within what bounds."""

    folder: Path
    tests: tuple[str, ...]
    https: bool
    workers: int
    test_seconds: int
    run_seconds: int


@dataclass(frozen=True, slots=True)
class Run:
    """How it ended: an outcome for each test of the plan, and what went wrong with the run as a whole."""

    outcomes: dict[str, results.Outcome]
    faults: tuple[str, ...]


def prepare() -> Path:
    """Make the suite's environment, or renew it when the requirements changed; return its Python.

    Raises:
        subprocess.CalledProcessError: a package could not be had.
    """
    python = ENVIRONMENT / "bin" / "python"
    stamp = ENVIRONMENT / "requirements"
    wanted = REQUIREMENTS.read_text("utf-8")
    if not stamp.exists() or stamp.read_text("utf-8") != wanted:
        venv.create(ENVIRONMENT, with_pip=True, clear=ENVIRONMENT.exists())
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "-r", str(REQUIREMENTS)], check=True)
        stamp.write_text(wanted, "utf-8")
    return python


def execute(python: Path, plan: Plan) -> Run:
    """Start a server, run the tests, stop the server. The logs stay in ``.conformance/ceph/``.

    Raises:
        RuntimeError: the server did not come up.
        subprocess.CalledProcessError: a key could not be created.
    """
    faults: list[str] = []
    with tempfile.TemporaryDirectory(prefix="rowlock-ceph-") as name, _server(plan, faults) as running:
        directory = Path(name)
        accounts.configure(directory, running, plan.workers)
        (directory / worker.SELECTION).write_text("\n".join(plan.tests), "utf-8")
        report = directory / "report.xml"
        fault = _pytest(python, plan, directory, report)
        if fault:
            faults.append(fault)
        outcomes = results.of(results.read(report), plan.tests)
    return Run(outcomes, tuple(faults))


@contextlib.contextmanager
def _server(plan: Plan, faults: list[str]) -> Iterator[server.RunningServer]:
    running = server.start(tls=plan.https, settings=accounts.SERVER_SETTINGS)
    try:
        yield running
    finally:
        shutil.copyfile(running.log, SERVER_LOG)
        faults += server_faults(SERVER_LOG.read_text("utf-8", errors="replace"))
        if server.alive(running.pid):
            try:
                server.stop(running)
            except RuntimeError as error:
                faults.append(str(error))
        else:
            faults.append(f"the server ended during the run: see {SERVER_LOG}")
            shutil.rmtree(running.directory, ignore_errors=True)


def server_faults(log: str) -> list[str]:
    """What no request may cause: an answer 500. One line an operation."""
    failed: Counter[str] = Counter()
    for line in log.splitlines():
        with contextlib.suppress(ValueError):
            event = json.loads(line)
            if isinstance(event, dict) and event.get("status") == HTTPStatus.INTERNAL_SERVER_ERROR:
                failed[str(event.get("operation"))] += 1
    return [f"{operation} was answered 500 {count} times: see {SERVER_LOG}" for operation, count in failed.items()]


def _pytest(python: Path, plan: Plan, directory: Path, report: Path) -> str | None:
    """Run pytest in a session of its own; return what went wrong other than failing tests."""
    command = [str(python), "-m", "pytest", *PYTEST, "-c", str(plan.folder / "pytest.ini")]
    command += ["--rootdir", str(plan.folder), f"--junitxml={report}", "-o", "junit_family=xunit2"]
    command += ["--numprocesses", str(plan.workers), "--dist", "worksteal", f"--timeout={plan.test_seconds}"]
    files = {test.partition("::")[0] for test in plan.tests}
    command += [str(plan.folder / suite.TESTS / file) for file in sorted(files)]
    with LOG.open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=directory,
            env=_environment(directory),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            status = process.wait(plan.run_seconds)
        except subprocess.TimeoutExpired:
            return f"the run was ended after {plan.run_seconds} s"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return None if status in {0, 1} else f"pytest ended with status {status}: see {LOG}"


def _environment(directory: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "ROWLOCK_", "PYTEST_"))}
    return kept | {
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "*",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(REPOSITORY),
        worker.DIRECTORY_VARIABLE: str(directory),
    }
