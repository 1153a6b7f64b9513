"""The embedded cluster on disk: where its parts are, who owns them, its passwords, and how it is made.

Everything here is synchronous and happens before the server runs; ``embedded.py`` starts it.
"""

import json
import os
import pwd
import secrets
import shutil
import stat
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from gateway.errors import StartupError
from gateway.metadata import programs
from gateway.metadata.directory import sync_directory, write_private
from gateway.metadata.programs import Programs, ServerUser

OWNER_ROLE: Final = "postgres"
SOCKET_NAME: Final = ".s.PGSQL.5432"
SOCKET_PATH_BYTES: Final = 100  # sun_path holds 107; some tools add a suffix
INITDB_PREFIX: Final = ".initdb-"

_HBA: Final = """\
# Written by rowlock: Unix socket only.
local all all scram-sha-256
local replication all scram-sha-256
"""


@dataclass(frozen=True, slots=True)
class Places:
    """Where the parts of the server are, below one data directory."""

    root: Path

    @property
    def cluster(self) -> Path:
        return self.root / "data"

    @property
    def passwords(self) -> Path:
        return self.root / "passwords.json"

    @property
    def log(self) -> Path:
        return self.root / "server.log"

    @property
    def lock(self) -> Path:
        return self.root / "server.lock"

    @property
    def sockets(self) -> Path:
        """Inside the data directory; a path too long for a socket falls back to a short one of this directory's own."""
        inside = self.root / "socket"
        if len(os.fsencode(inside / SOCKET_NAME)) <= SOCKET_PATH_BYTES:
            return inside
        digest = sha256(os.fsencode(self.root.resolve())).hexdigest()[:20]
        runtime = os.environ.get("XDG_RUNTIME_DIR", "") if os.geteuid() != 0 else ""
        parent = runtime if runtime and len(os.fsencode(runtime)) < 50 and os.path.isdir(runtime) else "/tmp"  # noqa: S108 - checked in own
        return Path(parent) / f"rowlock-{digest}"


def places_of(data_dir: Path) -> Places:
    """The places of a data directory."""
    return Places(data_dir.absolute() / "postgres")


def read_passwords(places: Places) -> dict[str, str] | None:
    """The passwords ``owner`` and ``gateway``, or None before they were made. Raises StartupError."""
    try:
        content = json.loads(places.passwords.read_text("utf-8"))
        return {"owner": str(content["owner"]), "gateway": str(content["gateway"])}
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise StartupError(f"{places.passwords} belongs to another user") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StartupError(f"{places.passwords} cannot be read: put it back from a backup") from error


def make_passwords(places: Places) -> dict[str, str]:
    """New passwords, on disk before the cluster that will have them."""
    passwords = {"owner": secrets.token_urlsafe(32), "gateway": secrets.token_urlsafe(32)}
    write_private(places.passwords, json.dumps(passwords) + "\n")
    return passwords


def major_of(places: Places) -> int | None:
    """The major version of the cluster, or None when there is none."""
    try:
        text = (places.cluster / "PG_VERSION").read_text("ascii").strip()
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise StartupError(f"{places.cluster} belongs to another user") from error
    return int(text.partition(".")[0]) if text[:1].isdigit() else None


def server_user(data_dir: Path, places: Places, chosen: str | None) -> ServerUser | None:
    """Whom the server runs as: ourselves, or when we are root the cluster's owner, the data directory's, or nobody."""
    if os.geteuid() != 0:
        if chosen is not None and chosen != pwd.getpwuid(os.geteuid()).pw_name:
            raise StartupError("ROWLOCK_POSTGRES_USER needs a start as root")
        return None
    try:
        if places.cluster.exists() and places.cluster.stat().st_uid != 0:
            entry = pwd.getpwuid(places.cluster.stat().st_uid)
        elif chosen is not None:
            entry = pwd.getpwnam(chosen)
        elif data_dir.stat().st_uid != 0:
            entry = pwd.getpwuid(data_dir.stat().st_uid)
        else:
            entry = pwd.getpwnam("nobody")
    except KeyError as error:
        wanted = chosen or "nobody, or the owner of the data directory,"
        raise StartupError(f"Postgres does not run as root and the system user {wanted} does not exist") from error
    if entry.pw_uid == 0:
        raise StartupError("Postgres does not run as root: set ROWLOCK_POSTGRES_USER to another user")
    return ServerUser(entry.pw_name, entry.pw_uid, entry.pw_gid)


def own(directory: Path, user: ServerUser | None) -> None:
    """Make a 0700 directory of the server's user; refuse one in a shared place that somebody else made."""
    uid = os.geteuid() if user is None else user.uid
    with suppress(FileExistsError):
        directory.mkdir(mode=0o700)
        if user is not None:
            os.chown(directory, user.uid, user.gid)
    status = directory.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != uid or status.st_mode & 0o077:
        raise StartupError(f"{directory} must be a directory of mode 0700 that belongs to uid {uid}: remove it")


def make_cluster(places: Places, found: Programs, user: ServerUser | None, password: str) -> None:
    """Make the cluster under a temporary name, then rename it: a killed first start leaves nothing half-made."""
    for leftover in places.root.glob(INITDB_PREFIX + "*"):
        shutil.rmtree(leftover, ignore_errors=True)
    temporary = Path(tempfile.mkdtemp(dir=places.root, prefix=INITDB_PREFIX))
    reader, writer = os.pipe()
    directory = os.open(temporary, os.O_RDONLY | os.O_DIRECTORY)
    try:
        target = str(temporary)
        if user is not None:
            os.chown(temporary, user.uid, user.gid)
            os.fchown(reader, user.uid, user.gid)  # /dev/stdin is opened anew, by that user
            if sys.platform.startswith("linux"):
                target = f"/proc/self/fd/{directory}"  # a way in where the path itself is closed to that user
        os.write(writer, password.encode("ascii") + b"\n")
        os.close(writer)
        writer = -1
        locale = ("--locale-provider=builtin", "--builtin-locale=C.UTF-8") if found.major >= 17 else ()
        done = subprocess.run(  # noqa: S603 - fixed arguments
            [
                found.directory / "initdb", "-D", target, "-U", OWNER_ROLE, "--pwfile=/dev/stdin", "-k", "-E", "UTF8",
                "--auth-local=scram-sha-256", "--auth-host=reject", "--locale=C", *locale,
            ],
            stdin=reader,
            capture_output=True,
            pass_fds=(directory,),
            env=programs.ENVIRONMENT,
            cwd="/",
            user=None if user is None else user.uid,
            group=None if user is None else user.gid,
            extra_groups=None if user is None else [],
            umask=0o077,
            check=False,
        )  # fmt: skip
        if done.returncode != 0:
            lines = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["no reason given"]
            reason = next((line for line in lines if "error:" in line or "FATAL:" in line), lines[0])
            raise StartupError(f"the database could not be made: {reason.strip()}")
        (temporary / "pg_hba.conf").write_text(_HBA, "utf-8")
        temporary.rename(places.cluster)
        sync_directory(places.root)
    except OSError as error:
        raise StartupError(f"the database could not be made: {(error.strerror or str(error)).lower()}") from error
    finally:
        for descriptor in (reader, writer, directory):
            if descriptor >= 0:
                os.close(descriptor)
        shutil.rmtree(temporary, ignore_errors=True)
