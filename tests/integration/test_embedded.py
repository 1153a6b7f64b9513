"""The embedded Postgres: started for real, and killed in every way a machine kills things."""

import contextlib
import json
import os
import pwd
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from gateway.errors import StartupError
from gateway.metadata import programs
from gateway.metadata.directory import DataDirectory
from gateway.metadata.embedded import EmbeddedPostgres, enable_login, locate_running, log_path
from gateway.metadata.programs import ServerUser

ROUNDS = 3
FAST = {"shared_buffers": "16MB"}
CAPABLE = "+dac_read_search"  # the interpreter may lie below /root, where an ordinary user cannot read it

# A gateway as small as can be: it holds the directory and the server, says so, and waits to be killed.
GATEWAY = """
import json, os, sys, time
from pathlib import Path
from gateway.metadata.directory import DataDirectory
from gateway.metadata.embedded import EmbeddedPostgres
directory = DataDirectory.hold(Path(sys.argv[1]))
server = EmbeddedPostgres(directory, settings={"shared_buffers": "16MB"})
server.start()
print(json.dumps([server.owner_url, server.supervisor_pid, os.geteuid()]), flush=True)
sys.stdin.read()
server.stop()
"""


@dataclass
class Gateway:
    """A running GATEWAY."""

    process: subprocess.Popen[str]
    url: str
    supervisor_pid: int
    uid: int

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def gateway(path: Path, *prefix: str) -> Iterator[Gateway]:
    process = subprocess.Popen(
        [*prefix, sys.executable, "-c", GATEWAY, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert process.stdout is not None
    with process:
        line = process.stdout.readline()
        if not line:
            raise AssertionError(process.communicate()[1])
        yield Gateway(process, *json.loads(line))
        process.stdin.close()  # type: ignore[union-attr]  # it is a pipe
        process.wait(60)


def postgres_processes(path: Path) -> list[int]:
    """The processes whose working directory is the cluster of this data directory."""
    cluster = os.path.realpath(path / "postgres" / "data")
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/{name}/cwd") == cluster:
                found.append(int(name))
    return found


def postmasters(path: Path) -> list[int]:
    """Those of them that are not children of another one."""
    processes = postgres_processes(path)
    parents = {}
    for pid in processes:
        with contextlib.suppress(OSError):
            parents[pid] = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return [pid for pid, parent in parents.items() if parent not in processes]


def wait_until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def accepts(url: str) -> bool:
    with contextlib.suppress(psycopg.OperationalError), psycopg.connect(url):
        return True
    return False


class Ledger:
    """Rows that were acknowledged, and the check that none was lost."""

    def __init__(self, url: str) -> None:
        self.acknowledged = 0
        self.run(url, "create table if not exists ledger (id integer primary key)")

    @staticmethod
    def run(url: str, statement: str) -> None:
        with psycopg.connect(url) as connection:
            connection.execute(statement)

    def write_until_cut(self, url: str, cut: Callable[[], None]) -> None:
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(url, autocommit=True) as connection:
            for number in range(200):
                connection.execute("insert into ledger values (%s)", [self.acknowledged + 1])
                self.acknowledged += 1
                if number == 50:
                    cut()
        # The row under way when the server died may or may not be there; the next one takes its place.
        wait_until(lambda: accepts(url))

    def check(self, url: str) -> None:
        with psycopg.connect(url) as connection:
            row = connection.execute("select count(*) from ledger where id <= %s", [self.acknowledged]).fetchone()
            assert row == (self.acknowledged,)
            connection.execute("delete from ledger where id > %s", [self.acknowledged])


def test_first_start_makes_a_private_cluster(directory: Path) -> None:
    path = directory / "data"
    with DataDirectory.hold(path) as held, EmbeddedPostgres(held, settings=FAST) as server:
        with psycopg.connect(server.owner_url) as connection:
            settings = dict(
                connection.execute(
                    "select name, setting from pg_settings where name in ('listen_addresses', 'fsync', 'jit',"
                    " 'full_page_writes', 'synchronous_commit', 'data_checksums', 'TimeZone', 'server_encoding')"
                ).fetchall()
            )
            locale = connection.execute(
                "select datlocprovider, datcollate, datlocale from pg_database where datname = current_database()"
            ).fetchone()
        for postmaster in postmasters(path):
            assert os.stat(f"/proc/{postmaster}").st_uid != 0
            environment = Path(f"/proc/{postmaster}/environ").read_bytes().split(b"\0")
            assert {entry.partition(b"=")[0] for entry in environment} - {b""} <= {b"PATH", b"LC_ALL", b"TZ", b"PGDATA"}
    assert settings == {
        "listen_addresses": "",
        "fsync": "on",
        "jit": "off",
        "full_page_writes": "on",
        "synchronous_commit": "on",
        "data_checksums": "on",
        "TimeZone": "UTC",
        "server_encoding": "UTF8",
    }
    assert locale == (b"b", "C", "C.UTF-8") or locale == ("b", "C", "C.UTF-8")
    rules = [line for line in (path / "postgres/data/pg_hba.conf").read_text().splitlines() if not line.startswith("#")]
    assert rules
    assert all(line.startswith("local") and line.endswith("scram-sha-256") for line in rules)
    assert (path / "postgres/passwords.json").stat().st_mode & 0o777 == 0o600
    assert (path / "postgres/socket").stat().st_mode & 0o777 == 0o700
    assert postgres_processes(path) == []


def test_later_start_keeps_data_and_passwords(directory: Path) -> None:
    with DataDirectory.hold(directory) as held:
        with EmbeddedPostgres(held, settings=FAST) as server:
            before = server.databases
            Ledger(server.owner_url)
            Ledger.run(server.owner_url, "create role rowlock_gateway noinherit")
            server.enable_gateway()
        with EmbeddedPostgres(held, settings=FAST) as server:
            assert server.databases == before
            Ledger.run(server.gateway_url, "select 1")
            Ledger.run(server.owner_url, "insert into ledger values (1)")


def test_wrong_password_is_refused_over_the_socket(directory: Path) -> None:
    with DataDirectory.hold(directory) as held, EmbeddedPostgres(held, settings=FAST) as server:
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(server.owner_url, password="wrong")
        with pytest.raises(psycopg.OperationalError, match="no password supplied"):
            psycopg.connect(server.owner_url, password="")


def test_locate_running_finds_the_server_of_another_process(directory: Path) -> None:
    assert locate_running(directory) is None
    with gateway(directory) as running:
        found = locate_running(directory)
        assert found is not None
        assert found.owner_url == running.url
    assert locate_running(directory) is None


def test_second_gateway_on_one_directory_is_told_the_pid(directory: Path) -> None:
    with gateway(directory) as running:
        with pytest.raises(StartupError, match=f"is in use by process {running.process.pid}:") as caught:
            DataDirectory.hold(directory)
        assert "\n" not in str(caught.value)
        assert accepts(running.url)


@pytest.mark.faults
def test_kill_of_the_gateway_ends_postgres_and_loses_nothing(directory: Path) -> None:
    ledger: Ledger | None = None
    for _ in range(ROUNDS):
        with gateway(directory) as running:
            ledger = ledger or Ledger(running.url)
            ledger.check(running.url)
            with psycopg.connect(running.url, autocommit=True) as connection:
                for _ in range(20):
                    connection.execute("insert into ledger values (%s)", [ledger.acknowledged + 1])
                    ledger.acknowledged += 1
            running.kill()
            wait_until(lambda: not postgres_processes(directory))


@pytest.mark.faults
def test_kill_of_everything_at_once_can_be_followed_by_a_start_at_once(directory: Path) -> None:
    ledger: Ledger | None = None
    for _ in range(ROUNDS):
        with gateway(directory) as running:
            assert len(postmasters(directory)) == 1
            ledger = ledger or Ledger(running.url)
            ledger.check(running.url)
            with psycopg.connect(running.url, autocommit=True) as connection:
                for _ in range(20):
                    connection.execute("insert into ledger values (%s)", [ledger.acknowledged + 1])
                    ledger.acknowledged += 1
            for pid in (running.supervisor_pid, *postmasters(directory)):
                os.kill(pid, signal.SIGKILL)
            running.kill()


@pytest.mark.faults
def test_kill_of_the_postmaster_is_followed_by_a_new_one(directory: Path) -> None:
    with DataDirectory.hold(directory) as held, EmbeddedPostgres(held, settings=FAST) as server:
        ledger = Ledger(server.owner_url)
        for _ in range(ROUNDS):
            (old,) = postmasters(directory)
            ledger.write_until_cut(server.owner_url, lambda pid=old: os.kill(pid, signal.SIGKILL))  # type: ignore[misc]
            ledger.check(server.owner_url)
            (new,) = postmasters(directory)
            assert new != old
        wait_until(lambda: bool(select.select([server.events], [], [], 0.1)[0]))
        assert f"died {-signal.SIGKILL}" in server.read_events()
    assert postgres_processes(directory) == []


@pytest.mark.faults
def test_kill_of_the_supervisor_is_cured_by_starting_again(directory: Path) -> None:
    with DataDirectory.hold(directory) as held, EmbeddedPostgres(held, settings=FAST) as server:
        ledger = Ledger(server.owner_url)
        for _ in range(ROUNDS):
            assert server.supervisor_pid is not None
            os.kill(server.supervisor_pid, signal.SIGKILL)
            wait_until(lambda: not server.supervisor_alive())
            server.start()
            ledger.check(server.owner_url)
            assert len(postmasters(directory)) == 1


@pytest.mark.faults
def test_orphan_that_ignores_its_parents_death_is_ended_before_a_start(directory: Path) -> None:
    with DataDirectory.hold(directory) as held:
        server = EmbeddedPostgres(held, settings=FAST)
        server.start()
        (orphan,) = postmasters(directory)
        os.kill(orphan, signal.SIGSTOP)  # cannot act on the death signal yet
        assert server.supervisor_pid is not None
        os.kill(server.supervisor_pid, signal.SIGKILL)
        wait_until(lambda: not server.supervisor_alive())
        waker = subprocess.Popen(["sh", "-c", f"sleep 0.5; kill -CONT {orphan}"])
        server.start()
        assert postmasters(directory) not in ([], [orphan])
        assert len(postmasters(directory)) == 1
        server.stop()
        waker.wait()


def test_stale_pid_and_socket_files_do_not_stop_a_start(directory: Path) -> None:
    with DataDirectory.hold(directory) as held:
        with EmbeddedPostgres(held, settings=FAST):
            pass
        owner = (directory / "postgres/data").stat()
        for name in ("data/postmaster.pid", "socket/.s.PGSQL.5432.lock", "socket/.s.PGSQL.5432"):
            # A pid that lives: what a crash and a busy machine leave.
            stale = directory / "postgres" / name
            stale.write_text(f"{os.getpid()}\n{directory}\n1\n5432\n{directory}\n\n")
            os.chown(stale, owner.st_uid, owner.st_gid)
        with EmbeddedPostgres(held, settings=FAST) as server:
            assert accepts(server.owner_url)


def test_path_too_long_for_a_socket_falls_back_to_a_short_one(directory: Path) -> None:
    path = directory / ("d" * 120)
    with DataDirectory.hold(path) as held, EmbeddedPostgres(held, settings=FAST) as server:
        assert accepts(server.owner_url)
        found = locate_running(path)
        assert found == server.databases
        sockets = Path(psycopg.conninfo.conninfo_to_dict(server.owner_url)["host"])  # type: ignore[arg-type]
        assert sockets.stat().st_mode & 0o777 == 0o700
    sockets.rmdir()


def test_fallback_for_sockets_that_somebody_else_made_is_refused(directory: Path) -> None:
    path = directory / ("d" * 120)
    with DataDirectory.hold(path) as held:
        with EmbeddedPostgres(held, settings=FAST) as server:
            sockets = Path(psycopg.conninfo.conninfo_to_dict(server.owner_url)["host"])  # type: ignore[arg-type]
        sockets.rmdir()
        sockets.symlink_to(directory)
        try:
            with pytest.raises(StartupError, match="must be a directory of mode 0700"):
                EmbeddedPostgres(held, settings=FAST).start()
        finally:
            sockets.unlink()


def test_killed_first_start_leaves_nothing_half_made(directory: Path) -> None:
    root = directory / "postgres"
    root.mkdir()
    (root / ".initdb-dead").mkdir()
    (root / ".initdb-dead" / "PG_VERSION").write_text("18\n")
    with DataDirectory.hold(directory) as held, EmbeddedPostgres(held, settings=FAST) as server:
        assert accepts(server.owner_url)
    assert list(root.glob(".initdb-*")) == []


def test_other_major_version_gets_one_line(directory: Path) -> None:
    cluster = directory / "postgres/data"
    cluster.mkdir(parents=True)
    (cluster / "PG_VERSION").write_text("9\n")
    with (
        DataDirectory.hold(directory) as held,
        pytest.raises(
            StartupError, match=r"made by PostgreSQL 9 but the programs are .*ROWLOCK_POSTGRES_BIN"
        ) as caught,
    ):
        EmbeddedPostgres(held).start()
    assert "\n" not in str(caught.value)


def test_directory_without_programs_gets_one_line(directory: Path) -> None:
    with (
        DataDirectory.hold(directory) as held,
        pytest.raises(StartupError, match=f"no PostgreSQL 15 or later found in {directory}"),
    ):
        EmbeddedPostgres(held, postgres_bin=directory).start()


def test_lost_passwords_get_one_line(directory: Path) -> None:
    with DataDirectory.hold(directory) as held:
        with EmbeddedPostgres(held, settings=FAST):
            pass
        (directory / "postgres/passwords.json").unlink()
        with pytest.raises(StartupError, match=r"passwords\.json is missing"):
            EmbeddedPostgres(held).start()


def test_postgres_that_dies_at_once_is_given_up_with_its_reason(directory: Path) -> None:
    with (
        DataDirectory.hold(directory) as held,
        pytest.raises(StartupError, match=r"died 5 times at once: .*shared_buffers.*server\.log") as caught,
    ):
        EmbeddedPostgres(held, settings={"shared_buffers": "nonsense"}).start()
    assert "\n" not in str(caught.value)
    assert "FATAL" in log_path(directory).read_text()
    assert postgres_processes(directory) == []


def test_fork_that_detached_does_not_keep_postgres_alive(directory: Path) -> None:
    with DataDirectory.hold(directory) as held, EmbeddedPostgres(held, settings=FAST) as server:
        hold_open, release = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(release)
            server.detach()
            os.read(hold_open, 1)
            os._exit(0)
        os.close(hold_open)
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < 5
        assert postgres_processes(directory) == []
        os.close(release)
        os.waitpid(pid, 0)


def test_missing_gateway_role_gets_one_line(directory: Path) -> None:
    with (
        DataDirectory.hold(directory) as held,
        EmbeddedPostgres(held, settings=FAST) as server,
        pytest.raises(StartupError, match='cannot enable the role rowlock_gateway: role "rowlock_gateway" does not'),
    ):
        enable_login(server.owner_url, "secret")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
class TestAsRoot:
    """Postgres refuses uid 0, so it runs as somebody else."""

    def test_server_runs_as_nobody_below_a_directory_nobody_can_enter(self, directory: Path) -> None:
        path = directory / "closed" / "data"
        (directory / "closed").mkdir(mode=0o700)
        with DataDirectory.hold(path) as held, EmbeddedPostgres(held, settings=FAST):
            (postmaster,) = postmasters(path)
            assert os.stat(f"/proc/{postmaster}").st_uid == pwd.getpwnam("nobody").pw_uid
        assert path.stat().st_mode & 0o777 == 0o700

    def test_server_runs_as_the_owner_of_the_data_directory(self, directory: Path) -> None:
        daemon = pwd.getpwnam("daemon")
        os.chown(directory, daemon.pw_uid, daemon.pw_gid)
        with DataDirectory.hold(directory) as held, EmbeddedPostgres(held, settings=FAST):
            (postmaster,) = postmasters(directory)
            assert os.stat(f"/proc/{postmaster}").st_uid == daemon.pw_uid

    def test_unknown_postgres_user_gets_one_line(self, directory: Path) -> None:
        with DataDirectory.hold(directory) as held, pytest.raises(StartupError, match="system user absent does not"):
            EmbeddedPostgres(held, postgres_user="absent").start()

    def test_programs_below_a_closed_directory_are_copied_once(
        self, directory: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        original = programs.find(None, None)
        closed = directory / "closed"
        shutil.copytree(original.directory.parent, closed / "pginstall", symlinks=True)
        closed.chmod(0o700)
        directory.chmod(0o755)
        nobody = pwd.getpwnam("nobody")
        user = ServerUser("nobody", nobody.pw_uid, nobody.pw_gid)
        found = programs.find(closed / "pginstall" / "bin", None)
        copied = programs.reachable(found, user, directory / "programs")
        assert copied.directory == directory / "programs" / found.version / "bin"
        shown = subprocess.check_output([copied.directory / "postgres", "--version"], user=user.uid, text=True)
        assert found.version in shown
        made = copied.directory.stat().st_ctime_ns
        assert programs.reachable(found, user, directory / "programs").directory.stat().st_ctime_ns == made
        monkeypatch.setattr(programs, "SHARED_CACHE", directory / "cache")
        elsewhere = programs.reachable(found, user, closed / "programs")
        assert elsewhere.directory == directory / "cache" / "programs" / found.version / "bin"

    @pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv")
    def test_ordinary_user_starts_and_stops_it(self, directory: Path) -> None:
        nobody = pwd.getpwnam("nobody")
        os.chown(directory, nobody.pw_uid, nobody.pw_gid)
        directory.chmod(0o700)
        prefix = (
            "setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups",
            f"--inh-caps={CAPABLE}", f"--ambient-caps={CAPABLE}",
        )  # fmt: skip
        for _ in range(2):
            with gateway(directory, *prefix) as running:
                assert running.uid == nobody.pw_uid
                assert accepts(running.url)
            assert postgres_processes(directory) == []
