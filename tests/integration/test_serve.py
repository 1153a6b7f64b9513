"""The parent process of ``rowlock serve``: real forks, real signals, the embedded Postgres, and every wrong start."""

import contextlib
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gateway.metadata.embedded import Databases, locate_running
from gateway.startup import FIRST_KEY_FILE

ROOT = Path(__file__).parents[2]
MIGRATION = """
create schema example;
create table example.keys (id text);
do $$ begin
    if not exists (select from pg_roles where rolname = 'rowlock_gateway') then
        create role rowlock_gateway noinherit;
    end if;
end $$;
"""


@pytest.fixture
def migrations(tmp_path: Path) -> Path:
    (tmp_path / "example").mkdir()
    (tmp_path / "example" / "0001_first.sql").write_text(MIGRATION)
    return tmp_path


@dataclass
class Started:
    """A running server and what it says."""

    process: subprocess.Popen[str]
    errors: Path
    lines: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        found = re.search(r"https?://\S+", "\n".join(self.lines))
        assert found is not None
        return found.group()

    def get(self, path: str = "/") -> tuple[int, str]:
        """The pid and the database role of the worker that answered."""
        with urllib.request.urlopen(self.url + path, timeout=20) as answer:
            pid, role = answer.read().decode().split()
        return int(pid), role

    def worker_pids(self, seen: int = 1) -> set[int]:
        """The workers that answer; asks until ``seen`` different ones did."""
        found: set[int] = set()
        deadline = time.monotonic() + 20
        while len(found) < seen:
            assert time.monotonic() < deadline, found
            found.add(self.get()[0])
        return found

    def children(self) -> list[int]:
        """Children of the parent: workers, background worker, Postgres' supervisor."""
        return [
            int(pid) for pid in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        ]

    def stop(self) -> str:
        """SIGTERM; what was written to standard error."""
        self.process.send_signal(signal.SIGTERM)
        return self.end()

    def end(self) -> str:
        """Wait for the end; what was written to standard error."""
        self.process.communicate(timeout=60)
        return self.errors.read_text()


def environment(data_dir: Path, **settings: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("ROWLOCK_", "DATABASE_URL"))}
    defaults = {
        "ROWLOCK_DATA_DIR": str(data_dir),
        "ROWLOCK_PORT": "0",
        "ROWLOCK_WORKERS": "2",
        "ROWLOCK_LOG_FORMAT": "json",
    }
    return {**clean, **defaults, "PYTHONPATH": str(ROOT), **settings}


@pytest.fixture
def start(directory: Path, migrations: Path) -> Iterator[Callable[..., Started]]:
    """Start the server and wait for its banner; killed at the end if still there."""
    running: list[Started] = []

    def begin(**settings: str) -> Started:
        # A file, not a pipe: nobody reads along, and a full pipe would stop the server.
        errors = migrations / f"stderr-{len(running)}"
        with errors.open("w") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.integration.serve_program", str(migrations)],
                env=environment(directory, **settings),
                stdout=subprocess.PIPE,
                stderr=file,
                text=True,
                start_new_session=True,
            )
        started = Started(process, errors)
        running.append(started)
        assert process.stdout is not None
        while "s3 ls" not in "".join(started.lines):
            line = process.stdout.readline()
            assert line, errors.read_text()
            started.lines.append(line)
        return started

    yield begin
    for started in running:
        if started.process.poll() is None:
            started.process.kill()
        print(started.errors.read_text())  # shown with a failure
        with contextlib.suppress(ValueError):
            started.process.communicate(timeout=30)
        if started.process.stdout is not None:
            started.process.stdout.close()
    wait_until(lambda: locate_running(directory) is None)


def failed_start(directory: Path, migrations: Path, **settings: str) -> str:
    """Start in vain; the one line. Fails for a traceback or a zero status."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.integration.serve_program", str(migrations)],
        env=environment(directory, **settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("rowlock: ")
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def wait_until(condition: Callable[[], bool], seconds: float = 20.0) -> float:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, "it did not happen in time"
        time.sleep(0.005)
    return time.monotonic() - began


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def ignores_sigterm(pid: int) -> bool:
    mask = re.search(r"SigIgn:\s*(\w+)", Path(f"/proc/{pid}/status").read_text())
    return mask is not None and bool(int(mask.group(1), 16) >> (signal.SIGTERM - 1) & 1)


def test_first_start_serves_and_prints_lines_to_paste(start: Callable[..., Started], directory: Path) -> None:
    server = start()
    assert len(server.worker_pids(2)) == 2
    assert server.get()[1] == "rowlock_gateway"
    server.stop()
    assert server.process.returncode == 0
    text = "".join(server.lines)
    export = re.search(r"AWS_ACCESS_KEY_ID=(\S+) AWS_SECRET_ACCESS_KEY=(\S+) AWS_DEFAULT_REGION=us-east-1", text)
    assert export is not None
    assert re.fullmatch(r"RLAK[A-Z2-7]{16}", export.group(1))
    assert re.fullmatch(r"[A-Za-z0-9]{40}", export.group(2))
    assert text.count(f"aws --endpoint-url {server.url} s3") == 2
    kept = directory / FIRST_KEY_FILE
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert export.group(2) in kept.read_text()


def test_later_start_shows_where_the_secret_is_and_its_line_works(
    start: Callable[..., Started], directory: Path
) -> None:
    start().stop()
    server = start()
    server.stop()
    out = "".join(server.lines)
    export = next(line for line in server.lines if "export" in line)
    shown = subprocess.check_output(["sh", "-c", f"{export.strip()}; echo $AWS_SECRET_ACCESS_KEY"], text=True).strip()
    assert len(shown) == 40
    assert shown not in out
    assert shown in (directory / FIRST_KEY_FILE).read_text()


def test_key_given_by_settings_is_neither_printed_nor_kept(start: Callable[..., Started], directory: Path) -> None:
    server = start(ROWLOCK_ACCESS_KEY_ID="MYKEY", ROWLOCK_SECRET_ACCESS_KEY="my-canary-secret")
    text = "".join(server.lines) + server.stop()
    assert "MYKEY" in text
    assert "my-canary-secret" not in text
    assert not (directory / FIRST_KEY_FILE).exists()


@pytest.mark.faults
def test_killed_worker_is_replaced_within_a_second_and_the_others_serve_on(start: Callable[..., Started]) -> None:
    server = start()
    for _ in range(3):
        victim, other = sorted(server.worker_pids(2))
        os.kill(victim, signal.SIGKILL)
        took = wait_until(lambda pid=victim: gone(pid) and len(server.children()) == 4)  # type: ignore[misc]
        assert took < 1
        assert other in server.worker_pids(2)
    assert server.process.poll() is None


def test_sigterm_lets_a_running_request_finish(start: Callable[..., Started]) -> None:
    server = start()
    answers: list[tuple[int, str]] = []
    request = threading.Thread(target=lambda: answers.append(server.get("/slow")))
    request.start()
    wait_until(lambda: "slow request began" in server.errors.read_text())
    server.stop()
    request.join()
    assert server.process.returncode == 0
    assert len(answers) == 1


def test_sigint_to_the_whole_group_drains_too(start: Callable[..., Started]) -> None:
    server = start()
    answers: list[tuple[int, str]] = []
    request = threading.Thread(target=lambda: answers.append(server.get("/slow")))
    request.start()
    wait_until(lambda: "slow request began" in server.errors.read_text())
    os.killpg(server.process.pid, signal.SIGHUP)
    os.killpg(server.process.pid, signal.SIGINT)
    err = server.end()
    request.join()
    assert (server.process.returncode, len(answers)) == (0, 1)
    assert "Traceback" not in err


def test_stuck_worker_is_killed_after_the_drain(start: Callable[..., Started]) -> None:
    server = start(TEST_WORKER="stuck", ROWLOCK_DRAIN_SECONDS="0")
    wait_until(lambda: sum(map(ignores_sigterm, server.children())) == 2)
    children = server.children()
    began = time.monotonic()
    server.stop()
    assert 4 < time.monotonic() - began < 12
    assert all(map(gone, children))


def test_second_signal_does_not_wait(start: Callable[..., Started]) -> None:
    server = start(TEST_WORKER="stuck")
    wait_until(lambda: sum(map(ignores_sigterm, server.children())) == 2)
    server.process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert server.process.poll() is None
    began = time.monotonic()
    server.process.send_signal(signal.SIGINT)
    server.end()
    assert time.monotonic() - began < 5


@pytest.mark.faults
def test_killed_parent_takes_everything_along_and_can_be_started_again_at_once(
    start: Callable[..., Started],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = str(probe.getsockname()[1])
    for _ in range(3):
        server = start(ROWLOCK_PORT=port)
        server.worker_pids(2)
        children = server.children()
        assert len(children) == 4
        server.process.kill()
        server.process.wait()
        again = start(ROWLOCK_PORT=port)
        assert not set(children) & again.worker_pids(2)
        wait_until(lambda pids=children: all(map(gone, pids)))  # type: ignore[misc]
        again.stop()


def postgres_supervisors(server: Started) -> list[int]:
    found = []
    for pid in server.children():
        with contextlib.suppress(OSError):
            if b"postmaster.py" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


def answers(server: Started) -> bool:
    with contextlib.suppress(OSError):
        return server.get()[1] == "rowlock_gateway"
    return False


@pytest.mark.faults
def test_killed_postgres_supervisor_is_started_again(start: Callable[..., Started]) -> None:
    server = start()
    for count in range(1, 4):
        (old,) = postgres_supervisors(server)
        os.kill(old, signal.SIGKILL)
        wait_until(lambda seen=count: server.errors.read_text().count("started again") == seen)  # type: ignore[misc]
        assert answers(server)
    server.stop()
    assert server.process.returncode == 0


@pytest.mark.faults
def test_postgres_supervisor_killed_while_it_is_replaced_is_replaced_again(start: Callable[..., Started]) -> None:
    server = start()
    (old,) = postgres_supervisors(server)
    os.kill(old, signal.SIGKILL)
    for _ in range(3):
        wait_until(lambda pid=old: postgres_supervisors(server) not in ([], [pid]))  # type: ignore[misc]
        (old,) = postgres_supervisors(server)
        os.kill(old, signal.SIGKILL)
    wait_until(lambda: answers(server))
    server.stop()
    assert server.process.returncode == 0


def test_workers_that_die_at_once_end_the_server_with_one_line(start: Callable[..., Started]) -> None:
    server = start(TEST_WORKER="crash")
    err = server.end()
    assert server.process.returncode == 1
    last = err.splitlines()[-1]
    assert re.match(r"rowlock: worker [01] died 6 times at once \(status 1\): see the log", last)
    assert "a worker that cannot live" in err


def test_given_database_is_migrated_and_used(
    start: Callable[..., Started], database: Databases, directory: Path
) -> None:
    server = start(DATABASE_URL=database.owner_url)
    assert server.get()[1] == "postgres"
    assert len(server.children()) == 3
    server.stop()
    assert not (directory / "postgres").exists()


class TestWrongStart:
    """Every failure a person can cause is one line on standard error and status 1."""

    def test_port_in_use(self, directory: Path, migrations: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            assert f"port {port} on 127.0.0.1 is in use" in failed_start(directory, migrations, ROWLOCK_PORT=str(port))

    def test_address_of_another_machine(self, directory: Path, migrations: Path) -> None:
        assert "cannot listen on 203.0.113.1" in failed_start(directory, migrations, ROWLOCK_HOST="203.0.113.1")

    def test_address_that_is_none(self, directory: Path, migrations: Path) -> None:
        assert "no such address" in failed_start(directory, migrations, ROWLOCK_HOST="not an address")

    def test_second_server_on_the_directory(
        self, start: Callable[..., Started], directory: Path, migrations: Path
    ) -> None:
        server = start()
        assert f"in use by process {server.process.pid}" in failed_start(directory, migrations)
        assert server.get()[1] == "rowlock_gateway"

    def test_directory_that_is_a_file(self, directory: Path, migrations: Path) -> None:
        (directory / "file").write_text("")
        assert "cannot use the data directory" in failed_start(directory / "file", migrations)

    def test_directory_that_cannot_be_written(self, migrations: Path) -> None:
        assert "cannot use the data directory /proc/none" in failed_start(Path("/proc/none"), migrations)

    @pytest.mark.parametrize(
        ("url", "message"),
        [
            ("postgresql://u:canary@127.0.0.1:9/d", "cannot connect to the database"),
            ("not a url", "DATABASE_URL is not a Postgres connection string"),
            ("mysql://u:canary@127.0.0.1/d", "DATABASE_URL is not a Postgres connection string"),
        ],
    )
    def test_wrong_database_url(self, directory: Path, migrations: Path, url: str, message: str) -> None:
        line = failed_start(directory, migrations, DATABASE_URL=url)
        assert message in line
        assert "canary" not in line

    def test_newer_schema(
        self, database: Databases, directory: Path, migrations: Path, start: Callable[..., Started]
    ) -> None:
        (migrations / "example" / "0002_second.sql").write_text("select 1;")
        start(DATABASE_URL=database.owner_url).stop()
        (migrations / "example" / "0002_second.sql").unlink()
        assert "newer schema" in failed_start(directory, migrations, DATABASE_URL=database.owner_url)

    def test_half_a_tls_pair(self, directory: Path, migrations: Path) -> None:
        line = failed_start(directory, migrations, ROWLOCK_TLS_CERT="/etc/hostname")
        assert "ROWLOCK_TLS_CERT is set but ROWLOCK_TLS_KEY is not" in line

    def test_certificate_that_is_missing(self, directory: Path, migrations: Path) -> None:
        line = failed_start(directory, migrations, ROWLOCK_TLS_CERT="/none.pem", ROWLOCK_TLS_KEY="/none.key")
        assert "cannot read /none.pem: no such file" in line

    def test_certificate_that_is_none(self, directory: Path, migrations: Path) -> None:
        line = failed_start(directory, migrations, ROWLOCK_TLS_CERT="/etc/hostname", ROWLOCK_TLS_KEY="/etc/hostname")
        assert "cannot use /etc/hostname with /etc/hostname" in line

    @pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
    def test_encrypted_private_key_does_not_ask(self, directory: Path, migrations: Path) -> None:
        cert, key = directory / "cert.pem", directory / "key.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-subj", "/CN=x", "-passout", "pass:secret", "-keyout",
             key, "-out", cert, "-days", "2"], check=True, capture_output=True,
        )  # fmt: skip
        line = failed_start(directory, migrations, ROWLOCK_TLS_CERT=str(cert), ROWLOCK_TLS_KEY=str(key))
        assert f"cannot use {cert}" in line

    @pytest.mark.parametrize(
        ("name", "value"), [("ROWLOCK_PORT", "99999"), ("ROWLOCK_WORKERS", "many"), ("ROWLOCK_LOG_FORMAT", "xml")]
    )
    def test_wrong_setting_is_named(self, directory: Path, migrations: Path, name: str, value: str) -> None:
        line = failed_start(directory, migrations, **{name: value})
        assert line.startswith(f"rowlock: {name}: ")
        assert value in line

    def test_half_an_access_key(self, directory: Path, migrations: Path) -> None:
        assert "belong together" in failed_start(directory, migrations, ROWLOCK_ACCESS_KEY_ID="A")

    def test_broken_key_file(self, directory: Path, migrations: Path) -> None:
        (directory / FIRST_KEY_FILE).write_text("{")
        assert f"{FIRST_KEY_FILE} cannot be read" in failed_start(directory, migrations)
