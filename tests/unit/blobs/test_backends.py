"""Named backends: what may be written about them, and what comes of it."""

import json
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from gateway.blobs import backends
from gateway.blobs.file import FileStore
from gateway.blobs.locator import Epoch
from gateway.blobs.memory import MemoryStore
from gateway.compose import Place, open_stores
from gateway.config import Settings
from gateway.errors import StartupError, StorageError

# No test of this page connects.
PLACE = Place("postgresql:///nothing", 1)
S3 = {
    "kind": "s3",
    "bucket": "b",
    "endpoint": "https://s3.example.com",
    "access_key_id": "key",
    "secret_access_key": {"env": "A_SECRET"},
}


def settings(tmp_path: Path, named: Any = None, **fields: Any) -> Settings:
    text = None if named is None else named if isinstance(named, str) else json.dumps(named)
    return Settings(data_dir=tmp_path, backends=text, **fields)


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET", "open sesame")


async def test_files_in_the_data_directory_are_there_unnamed(tmp_path: Path) -> None:
    stores = open_stores(settings(tmp_path), PLACE, Epoch(1))
    assert list(stores.stores) == ["file"]
    assert isinstance(stores.default, FileStore)
    assert (tmp_path / "blobs").is_dir()
    await stores.close()


async def test_several_at_once(tmp_path: Path) -> None:
    named = {
        "mem": {"kind": "memory"},
        "disk": {"kind": "file", "directory": str(tmp_path / "two")},
        "away": S3,
        "copy": {**S3, "replica": True},
    }
    stores = open_stores(settings(tmp_path, named, default_backend="mem", workers=1), PLACE, Epoch(1))
    assert (sorted(stores.stores), list(stores.replicas)) == (["away", "disk", "file", "mem"], ["copy"])
    assert isinstance(stores.default, MemoryStore)
    assert stores.for_writing(None) is stores.default
    assert stores.for_writing("disk").name == "disk"
    for name in ("copy", "nowhere"):
        with pytest.raises(StorageError, match="InternalError"):
            stores.named(name)
    await stores.close()


async def test_tenants_are_apart(tmp_path: Path) -> None:
    named = {"disk": {"kind": "file", "directory": str(tmp_path / "two")}}
    for tenant in ("one", "another"):
        await open_stores(settings(tmp_path, named), replace(PLACE, tenant_id=tenant), Epoch(1)).close()
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == ["another", "one"]


def test_from_a_file(tmp_path: Path) -> None:
    place = tmp_path / "backends.json"
    place.write_text(json.dumps({"away": S3}))
    assert set(backends.described(settings(tmp_path, backends_file=place))) == {"away", "file"}
    with pytest.raises(StartupError, match="give one of them"):
        backends.described(settings(tmp_path, {}, backends_file=place))
    with pytest.raises(StartupError, match="No such file"):
        backends.described(settings(tmp_path, backends_file=tmp_path / "missing"))


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ("{", "not JSON"),
        ("[]", "not of the form"),
        ({"a": "s3"}, "not of the form"),
        ({"": {}}, "the name of a backend is made of"),
        ({"a b": {}}, "the name of a backend is made of"),
        ({"a": {}}, "unknown kind"),
        ({"a": {"kind": "tape"}}, "unknown kind"),
        ({"a": {"kind": "file"}}, "directory is missing"),
        ({"a": {"kind": "file", "directory": "/x", "speed": 1}}, "speed"),
        ({"a": {"kind": "memory"}}, "ROWLOCK_WORKERS=1"),
        ({"a": {**S3, "secret_access_key": "open sesame"}}, "say where it is"),
        ({"a": {**S3, "secret_access_key": {"env": "NOT_SET"}}}, "NOT_SET is not set"),
        ({"a": {**S3, "secret_access_key": {"file": "/not/there"}}}, "No such file"),
        ({"a": {**S3, "provider": "azure"}}, "unknown provider"),
        ({"a": {**S3, "endpoint": "s3.example.com"}}, "https://"),
        ({"a": {**S3, "endpoint": None}}, "endpoint is missing"),
        ({"a": {**S3, "access_key_id": None}}, "are missing"),
        ({"a": {**S3, "part_bytes": 1000}}, "part_bytes"),
        ({"a": {**S3, "overrides": {"speed": True}}}, "speed"),
    ],
)
def test_wrong_setting_is_told_before_the_start(tmp_path: Path, named: Any, told: str) -> None:
    with pytest.raises(StartupError, match=told) as refusal:
        backends.require_sound(settings(tmp_path, named, workers=2))
    assert "open sesame" not in str(refusal.value)


def test_default_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="there is no backend 'x'"):
        backends.require_sound(settings(tmp_path, default_backend="x"))
    with pytest.raises(StartupError, match="is a replica"):
        open_stores(settings(tmp_path, {"x": {**S3, "replica": True}}, default_backend="x"), PLACE, Epoch(1))


def test_secret_is_not_shown(tmp_path: Path) -> None:
    backends.require_sound(settings(tmp_path, {"a": S3}))
    from gateway.blobs.s3_options import S3Options

    assert "sesame" not in repr(S3Options(bucket="b", provider="aws", access_key_id="k", secret_access_key="sesame"))


def make_store(*, name: str, options: dict[str, Any], directory: Path) -> MemoryStore:
    return MemoryStore(name=f"{name}:{options['colour']}:{directory.name}", max_bytes=1)


async def test_kind_of_another_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("tape", f"{__name__}:make_store", backends.ENTRY_POINTS)
    monkeypatch.setattr(backends, "entry_points", lambda group: [point] if group == backends.ENTRY_POINTS else [])
    chosen = settings(tmp_path, {"a": {"kind": "tape", "colour": "red"}}, default_backend="a")
    backends.require_sound(chosen)
    stores = open_stores(chosen, replace(PLACE, tenant_id="tenant"), Epoch(1))
    assert stores.default.name == "a:red:tenant"
    await stores.close()
