"""A file store on a disk that is full, read-only, tampered with or cut short (F12, F14, F15, security F)."""

import asyncio
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.blobs.digest import Digester
from gateway.blobs.file import FileStore
from gateway.blobs.memory import MemoryStore
from gateway.blobs.protocol import FileBackedStore, new_blob_id
from gateway.blobs.readers import PIECE_BYTES
from gateway.errors import StorageError
from tests.unit.blobs.support import DESCRIPTION, get, listed, opened, put

pytestmark = pytest.mark.faults

EPOCH = 5
MIB = 1024 * 1024


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of four MiB."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("mounting needs root on Linux")
    path = tmp_path / "disk"
    path.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(path)], capture_output=True, check=False
    )
    if mount.returncode:
        pytest.skip(f"mounting is not permitted: {mount.stderr!r}")
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


async def put_slowly(store: FileStore | MemoryStore, blob_id: str) -> None:
    async with store.create(blob_id, Digester(())) as writer:
        for _ in range(20):
            await writer.write(bytes(300_000))
            await asyncio.sleep(0.05)


def remount(path: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(path)], check=True)


@pytest.mark.parametrize("size", [3 * MIB, 900_000])
async def test_full_disk(small_disk: Path, size: int) -> None:
    async with opened("file", small_disk / "blobs") as store:
        first = await put(store, [b"f" * 2_500_000], blob_id=new_blob_id(EPOCH))
        second = await put(store, [b"s" * 900_000], blob_id=new_blob_id(EPOCH))
        for _ in range(3):
            with pytest.raises(StorageError, match="InsufficientStorage"):
                await put(store, [b"t" * size], blob_id=new_blob_id(EPOCH))
        assert await get(store, first, 2_499_999, 1) == b"f"
        assert await listed(store, EPOCH) == {first: 2_500_000, second: 900_000}
        await store.delete_many([first])
        third = await put(store, [b"t" * 900_000], blob_id=new_blob_id(EPOCH))
        assert await listed(store, EPOCH) == {second: 900_000, third: 900_000}


async def test_free_space_floor(small_disk: Path) -> None:
    async with opened("file", small_disk / "blobs", free_space_floor_bytes=2 * MIB) as store:
        first = await put(store, [b"f" * 1_500_000], blob_id=new_blob_id(EPOCH))
        second = new_blob_id(EPOCH)
        with pytest.raises(StorageError, match="InsufficientStorage"):
            await put_slowly(store, second)
        assert os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize > MIB
        await asyncio.sleep(0.3)
        await put(store, [b"x" * 900_000], blob_id=new_blob_id(EPOCH))
        await asyncio.sleep(0.3)
        with pytest.raises(StorageError, match="InsufficientStorage"):
            async with store.create(second, Digester(())):
                pytest.fail("accepted below the floor")
        with pytest.raises(StorageError, match="InsufficientStorage"):
            await store.check()
        assert await get(store, first, 0, 1) == b"f"
        await store.delete_many(list(await listed(store, EPOCH)))
        await asyncio.sleep(0.3)
        await store.check()
        await put(store, [b"x"], blob_id=second)


async def test_read_only_disk(small_disk: Path) -> None:
    async with opened("file", small_disk / "blobs") as store:
        blob_id = await put(store, [b"data"], blob_id=new_blob_id(EPOCH))
        remount(small_disk, "ro")
        for call in (
            put(store, [b"x"], blob_id=new_blob_id(EPOCH)),
            store.delete_many([blob_id]),
            store.quarantine(blob_id),
            store.copy(blob_id, new_blob_id(EPOCH), DESCRIPTION),
            store.check(),
        ):
            with pytest.raises(StorageError, match="ServiceUnavailable"):
                await call
        assert await get(store, blob_id, 0, 4) == b"data"
        remount(small_disk, "rw")
        await store.check()
        await put(store, [b"x"], blob_id=new_blob_id(EPOCH))
        assert sorted((await listed(store, EPOCH)).values()) == [1, 4]


def path_of(root: Path, blob_id: str) -> Path:
    return root / blob_id[:8] / blob_id[8:10] / blob_id


@pytest.mark.parametrize("size", [1000, 3 * MIB])
async def test_file_cut_short_before_it_is_opened(tmp_path: Path, size: int) -> None:
    async with opened("file", tmp_path) as store:
        blob_id = await put(store, [bytes(size)], blob_id=new_blob_id(EPOCH))
        os.truncate(path_of(tmp_path, blob_id), size - 1)
        with pytest.raises(StorageError, match="InternalError"):
            await store.open(blob_id, 0, size)


async def test_file_cut_short_while_it_is_read(tmp_path: Path) -> None:
    async with opened("file", tmp_path) as store:
        blob_id = await put(store, [bytes(3 * MIB)], blob_id=new_blob_id(EPOCH))
        reader = await store.open(blob_id, 0, 3 * MIB)
        os.truncate(path_of(tmp_path, blob_id), 2 * MIB + 1)
        pieces = aiter(reader)
        received = 0
        while received + PIECE_BYTES <= 2 * MIB:
            received += len(await anext(pieces))
        with pytest.raises(StorageError, match="InternalError"):
            await anext(pieces)
        await reader.close()


async def test_read_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened("file", tmp_path) as store:
        blob_id = await put(store, [bytes(MIB)], blob_id=new_blob_id(EPOCH))
        reader = await store.open(blob_id, 0, MIB)

        def pread(fd: int, count: int, offset: int) -> bytes:
            raise OSError(5, "Input/output error")

        monkeypatch.setattr(os, "pread", pread)
        with pytest.raises(StorageError, match="InternalError"):
            _ = [piece async for piece in reader]
        await reader.close()
        with pytest.raises(StorageError, match="InternalError"):
            await store.open(blob_id, 0, 10)


@pytest.mark.parametrize("planted", ["blob", "directory", "epoch", "fifo", "sidecar"])
async def test_planted_links_are_not_followed(tmp_path: Path, planted: str) -> None:
    root, outside = tmp_path / "blobs", tmp_path / "outside"
    async with opened("file", root) as store:
        blob_id = await put(store, [b"mine"], blob_id=new_blob_id(EPOCH))
    path = path_of(root, blob_id)
    match planted:
        case "blob":
            outside.write_bytes(b"secret")
            path.unlink()
            path.symlink_to(outside)
        case "fifo":
            path.unlink()
            os.mkfifo(path)
        case "sidecar":
            outside.write_bytes(b"{}")
            path.with_suffix(".json").symlink_to(outside)
        case _:
            moved = path.parent if planted == "directory" else path.parents[1]
            moved.rename(outside)
            moved.symlink_to(outside)
    async with opened("file", root) as store:
        if planted == "sidecar":
            with pytest.raises(StorageError, match="InternalError"):
                await store.describe(blob_id)
            return
        with pytest.raises(StorageError, match="InternalError"):
            await store.open(blob_id, 0, 4)
        assert isinstance(store, FileBackedStore)
        with pytest.raises(StorageError, match="InternalError"):
            await store.open_file(blob_id)
        if planted in {"blob", "fifo"}:
            assert await listed(store, EPOCH) == {}


async def test_planted_hard_link_and_foreign_files_are_not_listed(tmp_path: Path) -> None:
    async with opened("file", tmp_path) as store:
        blob_id = await put(store, [b"mine"], blob_id=new_blob_id(EPOCH))
        for name in ("README", "0" * 32, blob_id + ".bak", blob_id.upper() + "Z"):
            (path_of(tmp_path, blob_id).parent / name).write_bytes(b"x")
        (tmp_path / "lost+found").mkdir()
        (tmp_path / "00000009").write_bytes(b"x")
        assert await listed(store, EPOCH) == {blob_id: 4}
        assert list(await store.epochs()) == [EPOCH]


async def test_sendfile_descriptor_is_read_only_and_the_callers(tmp_path: Path) -> None:
    async with opened("file", tmp_path) as store:
        assert isinstance(store, FileBackedStore)
        blob_id = await put(store, [b"data"], blob_id=new_blob_id(EPOCH))
        fd = await store.open_file(blob_id)
        try:
            await store.delete_many([blob_id])
            assert os.pread(fd, 10, 0) == b"data"
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.write(fd, b"x")
            assert not os.get_inheritable(fd)
        finally:
            os.close(fd)
        with pytest.raises(FileNotFoundError):
            await store.open_file(blob_id)


async def test_root_is_created_private(tmp_path: Path) -> None:
    root = tmp_path / "a" / "b" / "blobs"
    async with opened("file", root) as store:
        blob_id = await put(store, [b"data"], blob_id=new_blob_id(EPOCH))
        for path in (root, root / "tmp", path_of(root, blob_id).parent):
            assert path.stat().st_mode & 0o777 == 0o700
        assert path_of(root, blob_id).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("size", [10, 2 * MIB])
async def test_copy_where_links_are_impossible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    real = os.link

    def link(source: str, target: str, **options: int | bool) -> None:
        if not source.startswith("/proc/"):
            raise OSError(31, "Too many links")
        real(source, target, **options)  # type: ignore[arg-type]  # passed on as they came

    data = os.urandom(size)
    async with opened("file", tmp_path) as store:
        source, target = await put(store, [data], blob_id=new_blob_id(EPOCH)), new_blob_id(EPOCH)
        monkeypatch.setattr(os, "link", link)
        await store.copy(source, target, DESCRIPTION)
        assert path_of(tmp_path, source).stat().st_nlink == 1
        assert await get(store, target, 0, size) == data
        assert await store.describe(target) == DESCRIPTION


async def test_large_copy_shares_the_bytes(tmp_path: Path) -> None:
    async with opened("file", tmp_path) as store:
        source, target = await put(store, [bytes(8 * MIB)], blob_id=new_blob_id(EPOCH)), new_blob_id(EPOCH)
        await store.copy(source, target, DESCRIPTION)
        shared = path_of(tmp_path, source).stat()
        assert shared.st_nlink == 2 or shared.st_ino != path_of(tmp_path, target).stat().st_ino
        await store.quarantine(source)
        await store.purge_quarantine(-2)
        assert await get(store, target, 8 * MIB - 1, 1) == b"\0"
        assert path_of(tmp_path, target).stat().st_nlink == 1


async def test_memory_of_an_upload_is_bounded(tmp_path: Path) -> None:
    piece = bytes(64 * 1024)
    async with opened("file", tmp_path) as store:
        assert isinstance(store, FileStore)
        async with store.create(new_blob_id(EPOCH), Digester(("md5",))) as writer:
            await writer.write(piece)
            tracemalloc.start()
            try:
                for _ in range(512):
                    await writer.write(piece)
                _, peak_bytes = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
    assert peak_bytes < 1.5 * MIB


@pytest.mark.parametrize("size", [1000, 2 * MIB])
async def test_directory_dropped_from_the_cache_while_it_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """Two epochs have more directories than stay open; one dropped in between answered EBADF, once in many runs."""
    async with opened("file", tmp_path) as store:
        source, target = new_blob_id(EPOCH), new_blob_id(EPOCH + 1)
        await put(store, [b"x" * size], blob_id=source)
        directories = store._volume.directories
        really_open, really_link = os.open, os.link

        def open_after_drop(*args: Any, **options: Any) -> int:
            if options.get("dir_fd") is not None and len(str(args[0])) == len(source):
                directories.close()
            return really_open(*args, **options)

        def link_after_drop(*args: Any, **options: Any) -> None:
            directories.close()
            really_link(*args, **options)

        monkeypatch.setattr(os, "open", open_after_drop)
        monkeypatch.setattr(os, "link", link_after_drop)
        await store.copy(source, target, DESCRIPTION)
        assert await get(store, target, 0, size) == b"x" * size
