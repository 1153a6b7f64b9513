"""Start the product for the suites, once a test run, and stop it with SIGTERM when the last user has gone.

Under pytest-xdist the workers share one server through a lock file that counts its users.
"""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from conformance.target import DEFAULT_REGION, Target

REPOSITORY: Final = Path(__file__).resolve().parent.parent
START_TIMEOUT_SECONDS: Final = 60.0
STOP_TIMEOUT_SECONDS: Final = 40.0
ACCESS_KEY_ID: Final = "AKIAROWLOCKCONFORM01"
SECRET_ACCESS_KEY: Final = "conformance/secret+KEY/that=is40charslong"

_RUN_SQL: Final = """
import sys
from pathlib import Path
import psycopg
from gateway.metadata.embedded import locate_running
with psycopg.connect(locate_running(Path(sys.argv[1])).owner_url, autocommit=True) as connection:
    connection.execute(sys.stdin.read())
"""


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A started Rowlock: enough to use it, to run its other commands, and to stop it from any worker."""

    pid: int
    port: int
    directory: str
    ca_bundle: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def target(self) -> Target:
        """Where and how to reach it."""
        scheme = "https" if self.ca_bundle else "http"
        return Target(
            endpoint_url=f"{scheme}://127.0.0.1:{self.port}",
            access_key_id=ACCESS_KEY_ID,
            secret_access_key=SECRET_ACCESS_KEY,
            region=DEFAULT_REGION,
            ca_bundle=self.ca_bundle,
        )

    @property
    def log(self) -> Path:
        """The file its output goes to."""
        return Path(self.directory, "server.log")

    def environment(self) -> dict[str, str]:
        """The environment it runs in; further commands (``keys create``) must run in the same."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "ROWLOCK_"))}
        inherited |= {
            "ROWLOCK_DATA_DIR": str(Path(self.directory, "data")),
            "ROWLOCK_HOST": "127.0.0.1",
            "ROWLOCK_PORT": str(self.port),
            "ROWLOCK_REGION": DEFAULT_REGION,
            "ROWLOCK_WORKERS": os.environ.get("ROWLOCK_WORKERS", "2"),
            "ROWLOCK_ACCESS_KEY_ID": ACCESS_KEY_ID,
            "ROWLOCK_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
            "ROWLOCK_LOG_FORMAT": "json",
        }
        if self.ca_bundle:
            inherited |= {
                "ROWLOCK_TLS_CERT": self.ca_bundle,
                "ROWLOCK_TLS_KEY": str(Path(self.directory, "tls.key")),
            }
        return inherited | dict(self.settings)

    def run(self, *arguments: str, timeout_seconds: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run one of Rowlock's other commands against this server's data.

        Raises:
            subprocess.CalledProcessError: the command failed; its output is in the error.
        """
        return subprocess.run(
            [sys.executable, "-m", "gateway", *arguments],
            cwd=REPOSITORY,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            check=True,
        )

    def run_sql(self, statements: str) -> None:
        """Run statements as the owner of the embedded database.

        Raises:
            subprocess.CalledProcessError: they failed; the reason is in the error's output.
        """
        subprocess.run(
            [sys.executable, "-c", _RUN_SQL, str(Path(self.directory, "data"))],
            cwd=REPOSITORY,
            env=self.environment(),
            input=statements,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )


@contextlib.contextmanager
def shared_server(run_directory: Path, name: str, *, tls: bool = False) -> Iterator[RunningServer]:
    """The run's server ``name``: started by the first user, stopped by the last one, whatever process each lives in."""
    state_file = run_directory / f"{name}.json"
    with _locked(run_directory / f"{name}.lock"):
        state = json.loads(state_file.read_text()) if state_file.exists() else None
        if state is None:
            state = {"users": 0, "server": asdict(start(tls=tls))}
        state["users"] += 1
        state_file.write_text(json.dumps(state))
    server = RunningServer(**state["server"])
    try:
        yield server
    finally:
        with _locked(run_directory / f"{name}.lock"):
            state = json.loads(state_file.read_text())
            state["users"] -= 1
            if state["users"]:
                state_file.write_text(json.dumps(state))
            else:
                state_file.unlink()
                stop(server)


def start(*, tls: bool = False, settings: Mapping[str, str] | None = None) -> RunningServer:
    """Start ``python -m gateway serve`` on a free port, with further variables, and wait until it accepts connections.

    Raises:
        RuntimeError: it did not come up; the end of its output is in the message.
    """
    directory = tempfile.mkdtemp(prefix="rowlock-conformance-")
    # an embedded Postgres started by root runs as another user and must be able to reach its directory
    Path(directory).chmod(0o755)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    planned = RunningServer(
        pid=0,
        port=port,
        directory=directory,
        ca_bundle=_certificate(directory) if tls else None,
        settings=settings or {},
    )
    with planned.log.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "serve"],
            cwd=REPOSITORY,
            env=planned.environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while not _answers(port):
        if process.poll() is not None or time.monotonic() > deadline:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            tail = planned.log.read_text(errors="replace")[-4000:]
            raise RuntimeError(f"rowlock serve did not come up (exit status {process.returncode}):\n{tail}")
        time.sleep(0.05)
    # the session may end in another process, which then waits for this one: nobody polls the handle again
    process.returncode = 0
    return replace(planned, pid=process.pid)


def stop(server: RunningServer) -> None:
    """Ask the server to drain and end (SIGTERM), and remove its directory.

    Raises:
        RuntimeError: it had to be killed.
    """
    os.kill(server.pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_TIMEOUT_SECONDS
    while alive(server.pid):
        if time.monotonic() > deadline:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)
            raise RuntimeError(f"rowlock serve did not end within {STOP_TIMEOUT_SECONDS:.0f} s of SIGTERM")
        time.sleep(0.05)
    if not os.environ.get("ROWLOCK_KEEP_LOGS"):
        shutil.rmtree(server.directory, ignore_errors=True)


def alive(pid: int) -> bool:
    """Whether the process runs."""
    with contextlib.suppress(ChildProcessError):
        return os.waitpid(pid, os.WNOHANG)[0] == 0
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    # a zombie waits for a parent that is another test process: it has ended all the same
    return status.rpartition(")")[2].split()[0] != "Z"


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _certificate(directory: str) -> str:
    """Write a self-signed certificate for 127.0.0.1 and its key; return the certificate's path."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "rowlock conformance")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = Path(directory, "tls.crt"), Path(directory, "tls.key")
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return str(certificate_file)
