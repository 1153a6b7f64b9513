"""Named backends: what an operator writes about them, and the stores made from it.

``{"cold": {"kind": "s3", "bucket": "b", "endpoint": "https://…", "secret_access_key": {"env": "COLD_SECRET"}}}``.
Wherever a text may stand, ``{"env": NAME}`` or ``{"file": PATH}`` may stand for it; secrets must be given that way.
Kinds besides ``file``, ``memory`` and ``s3`` come from installed packages, by entry points of the group
``rowlock.backends``: a callable ``(name, options, directory) -> BlobStore``.
"""

import json
import os
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.blobs.file import FileStore
from gateway.blobs.memory import MemoryStore
from gateway.blobs.observed import FILE_CALLS, S3_CALLS, ObservedFileStore
from gateway.blobs.protocol import BlobStore
from gateway.config import Settings
from gateway.errors import StartupError
from gateway.telemetry.watch import is_watched
from gateway.tenants.choices import NO_BACKENDS, TenantBackends
from gateway.tenants.directory import check_tenant_id
from gateway.tenants.registry import DEFAULT_TENANT

FILE_BACKEND: Final = "file"
"""The backend that is there without being named: files in the data directory."""

ENTRY_POINTS: Final = "rowlock.backends"

_SECRETS: Final = frozenset({"secret_access_key", "session_token", "password", "secret", "token"})
_MAX_NAME: Final = 63


class FileOptions(BaseModel):
    """A directory of a local file system."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    directory: Path | None = None
    threads: int = Field(16, ge=1, le=256)
    free_space_floor_bytes: int = Field(0, ge=0)


class MemoryOptions(BaseModel):
    """Memory of the one process that has it: for tests."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_bytes: int = Field(256 * 1024 * 1024, ge=1)


def described(settings: Settings, own: TenantBackends = NO_BACKENDS) -> Mapping[str, Mapping[str, Any]]:
    """Every backend's options by name, a tenant's own included, references not resolved. Raises StartupError."""
    text = settings.backends
    if settings.backends_file is not None:
        if text is not None:
            raise StartupError("ROWLOCK_BACKENDS and ROWLOCK_BACKENDS_FILE: give one of them")
        try:
            text = settings.backends_file.read_text()
        except OSError as error:
            raise StartupError(f"ROWLOCK_BACKENDS_FILE: {error.strerror}: {settings.backends_file}") from error
    try:
        named = json.loads(text) if text else {}
    except ValueError as error:
        raise StartupError(f"ROWLOCK_BACKENDS: not JSON: {error}") from error
    if not isinstance(named, dict) or not all(isinstance(options, dict) for options in named.values()):
        raise StartupError('ROWLOCK_BACKENDS: not of the form {"name": {"kind": …}, …}')
    _require_names(named)
    named.setdefault(FILE_BACKEND, {"kind": "file"})
    if settings.default_backend not in named:
        raise StartupError(f"ROWLOCK_DEFAULT_BACKEND: there is no backend {settings.default_backend!r}")
    _require_names(own.named)
    every = {**named, **own.named}
    if own.default is not None and own.default not in every:
        raise StartupError(f"there is no backend {own.default!r}")
    return every


def default_name(settings: Settings, own: TenantBackends = NO_BACKENDS) -> str:
    """The backend of buckets that name none."""
    return own.default or settings.default_backend


def _require_names(named: Mapping[str, Any]) -> None:
    for name in named:
        if not name or len(name) > _MAX_NAME or not all(letter.isalnum() or letter in "-_" for letter in name):
            raise StartupError(f"the name of a backend is made of letters, digits, - and _, not {name[:80]!r}")


def require_sound(settings: Settings, own: TenantBackends = NO_BACKENDS) -> None:
    """Look at every option of every backend, before a server is started or a tenant stored. Raises StartupError."""
    for name, options in described(settings, own).items():
        given = {key: _resolved(name, key, value) for key, value in options.items() if key not in ("kind", "replica")}
        kind = str(options.get("kind"))
        with _told(name):
            if kind == "s3":
                from gateway.blobs.s3_options import S3Options

                S3Options(**given)
            elif kind == "file":
                _file_options(name, given)
            elif kind == "memory":
                _memory_options(settings, name, given)
            else:
                _installed(name, kind)


def is_replica(options: Mapping[str, Any]) -> bool:
    """True for a backend that only ``rowlock replicate`` writes to and nothing is served from."""
    return options.get("replica") is True


def calls(settings: Settings) -> list[tuple[str, str]]:
    """What is counted, as pairs of backend and call. Raises StartupError."""
    by_kind = {"file": FILE_CALLS, "s3": S3_CALLS}
    return [
        (name, call) for name, options in described(settings).items() for call in by_kind.get(str(options["kind"]), ())
    ]


def open_backend(
    settings: Settings, name: str, options: Mapping[str, Any], tenant_id: str, *, most_threads: int | None = None
) -> BlobStore:
    """The store of one tenant in a backend; tenants are apart in it. Raises StartupError, OSError."""
    check_tenant_id(tenant_id)
    given = {key: _resolved(name, key, value) for key, value in options.items() if key not in ("kind", "replica")}
    kind = options.get("kind")
    maker = _KINDS.get(str(kind)) or _installed(name, kind)
    with _told(name):
        return maker(settings, name, given, tenant_id, most_threads)


@contextmanager
def _told(name: str) -> Generator[None, None, None]:
    try:
        yield
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        told = "; ".join(f"{'.'.join(map(str, problem['loc'])) or 'options'}: {problem['msg']}" for problem in problems)
        raise StartupError(f"backend {name}: {told}") from None


def _file_options(name: str, given: Mapping[str, Any]) -> FileOptions:
    options = FileOptions(**given)
    if options.directory is None and name != FILE_BACKEND:
        raise StartupError(f"backend {name}: directory is missing")
    return options


def _memory_options(settings: Settings, name: str, given: Mapping[str, Any]) -> MemoryOptions:
    if settings.workers != 1:
        raise StartupError(f"backend {name}: memory is not shared between processes: set ROWLOCK_WORKERS=1")
    return MemoryOptions(**given)


def blob_directory(settings: Settings, tenant_id: str) -> Path:
    """Where the file backend that nobody named keeps the blobs of a tenant. No tenant's is inside another's."""
    if tenant_id == DEFAULT_TENANT and not settings.multi_tenant:
        return settings.data_dir / "blobs"
    return settings.data_dir / "tenants" / tenant_id / "blobs"


def file_directory(settings: Settings, name: str, options: Mapping[str, Any]) -> Path:
    """The directory that a file backend has for all tenants together. Raises StartupError."""
    given = {key: _resolved(name, key, value) for key, value in options.items() if key not in ("kind", "replica")}
    with _told(name):
        return _file_options(name, given).directory or settings.data_dir


def _file(
    settings: Settings, name: str, given: Mapping[str, Any], tenant_id: str, most_threads: int | None
) -> BlobStore:
    options = _file_options(name, given)
    named = options.directory
    directory = blob_directory(settings, tenant_id) if named is None else named / tenant_id
    return (ObservedFileStore if is_watched() else FileStore)(
        directory,
        name=name,
        threads=min(options.threads, most_threads or options.threads),
        free_space_floor_bytes=options.free_space_floor_bytes,
    )


def _memory(
    settings: Settings, name: str, given: Mapping[str, Any], tenant_id: str, most_threads: int | None
) -> BlobStore:
    options = _memory_options(settings, name, given)
    return MemoryStore(name=name, max_bytes=options.max_bytes)


def _s3(settings: Settings, name: str, given: Mapping[str, Any], tenant_id: str, most_threads: int | None) -> BlobStore:
    # botocore takes a while to load, and who has no such backend need not wait for it
    from gateway.blobs.s3 import S3Store
    from gateway.blobs.s3_options import S3Options

    options = S3Options(**given)
    spool = settings.data_dir / "spool"
    spool.mkdir(mode=0o700, parents=True, exist_ok=True)
    threads = min(options.threads, most_threads or options.threads)
    apart = options.model_copy(update={"prefix": f"{options.prefix}{tenant_id}/", "threads": threads})
    return S3Store(apart, name=name, spool_directory=spool)


Maker = Callable[[Settings, str, Mapping[str, Any], str, int | None], BlobStore]

_KINDS: Final[Mapping[str, Maker]] = {"file": _file, "memory": _memory, "s3": _s3}


def _installed(name: str, kind: object) -> Maker:
    found = [point for point in entry_points(group=ENTRY_POINTS) if point.name == kind]
    if not found:
        raise StartupError(f"backend {name}: unknown kind {str(kind)[:80]!r}")
    plugin = found[0].load()

    def make(
        settings: Settings, name: str, given: Mapping[str, Any], tenant_id: str, most_threads: int | None
    ) -> BlobStore:
        store: BlobStore = plugin(name=name, options=given, directory=settings.data_dir / "backends" / name / tenant_id)
        return store

    return make


def _resolved(name: str, key: str, value: Any) -> Any:
    if isinstance(value, dict) and len(value) == 1:
        [(source, place)] = value.items()
        if source == "env":
            found = os.environ.get(str(place))
            if not found:
                raise StartupError(f"backend {name}: {key}: the environment variable {place} is not set")
            return found
        if source == "file":
            try:
                return Path(str(place)).read_text().strip()
            except OSError as error:
                raise StartupError(f"backend {name}: {key}: {error.strerror}: {place}") from error
    if key in _SECRETS:
        raise StartupError(f'backend {name}: {key}: say where it is: {{"env": NAME}} or {{"file": PATH}}')
    return value
