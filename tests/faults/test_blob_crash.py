"""What a process that dies or fails in the middle of a write leaves in a file store (promises A, B and C)."""

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gateway.blobs.digest import Digester
from gateway.blobs.protocol import new_blob_id
from gateway.errors import StorageError
from gateway.telemetry import failpoints
from tests.unit.blobs.support import DESCRIPTION, get, listed, opened, put

from .blob_child import DESCRIPTION as CHILD_DESCRIPTION
from .blob_child import EPOCH, FINISHED, KEY, content

pytestmark = pytest.mark.faults

POINTS = ("put.mid_body", "put.after_write", "put.after_fsync", "put.after_link", "put.after_dirsync")
SIZES = {"small": 5_000, "large": 1_500_000}
REPOSITORY = Path(__file__).parents[2]


def run_child(
    root: Path, size: str, *, rich: bool, wrapper: tuple[str, ...] = (), **environment: str
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*wrapper, sys.executable, "-m", "tests.faults.blob_child", str(root), str(SIZES[size]), str(int(rich))],
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        capture_output=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(autouse=True)
def _disarm() -> object:
    yield
    failpoints.arm("")


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("rich", [True, False], ids=["unnamed", "named"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("point", POINTS)
async def test_killed_writer_leaves_no_blob_or_a_whole_one(tmp_path: Path, point: str, size: str, rich: bool) -> None:
    child = run_child(tmp_path / "blobs", size, rich=rich, ROWLOCK_FAILPOINTS=f"{point}=kill")
    assert child.returncode == -signal.SIGKILL, child.stderr
    assert FINISHED not in child.stdout
    async with opened("file", tmp_path / "blobs") as store:
        blobs = await listed(store, EPOCH)
        linked = point in {"put.after_link", "put.after_dirsync"}
        assert list(blobs.values()) == ([SIZES[size]] if linked else [])
        for blob_id in blobs:
            assert await get(store, blob_id, 0, SIZES[size]) == content(SIZES[size])[: SIZES[size]]
            assert await store.describe(blob_id) == CHILD_DESCRIPTION
            await store.quarantine(blob_id)
        assert list((tmp_path / "blobs" / "tmp").iterdir()) == []
        assert await store.remove_epoch(EPOCH)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize(
    ("action", "expected"), [("enospc", "InsufficientStorage"), ("eio", "InternalError"), ("error", "put")]
)
@pytest.mark.parametrize("kind", ["file", "file-named-temporaries", "file-sidecars"])
async def test_failed_write_leaves_nothing(
    tmp_path: Path, kind: str, point: str, action: str, expected: str, size: str
) -> None:
    async with opened(kind, tmp_path / "blobs") as store:
        kept = await put(store, [b"kept"], blob_id=new_blob_id(EPOCH))
        before = open_descriptors()
        failpoints.arm(f"{point}={action}")
        with pytest.raises((StorageError, OSError, failpoints.FailpointError), match=expected):
            await put(store, [content(SIZES[size])], blob_id=new_blob_id(EPOCH))
        failpoints.arm("")
        assert await listed(store, EPOCH) == {kept: 4}
        assert [path.name for path in (tmp_path / "blobs").rglob("*") if path.is_file() and kept not in path.name] == []
        assert open_descriptors() <= before + 1  # at most a directory more in the cache
        after = await put(store, [b"after"], blob_id=new_blob_id(EPOCH))
        assert await listed(store, EPOCH) == {kept: 4, after: 5}


async def test_error_of_a_background_write_reaches_every_later_call(tmp_path: Path) -> None:
    async with opened("file", tmp_path / "blobs") as store:
        failpoints.arm("put.mid_body=enospc@1")
        async with store.create(new_blob_id(EPOCH), Digester(())) as writer:
            await writer.write(bytes(300_000))
            for call in (writer.write(bytes(300_000)), writer.flush(), writer.finish(DESCRIPTION)):
                with pytest.raises(StorageError, match="InsufficientStorage"):
                    await call
        assert await listed(store, EPOCH) == {}


@pytest.mark.parametrize("failing", ["file", "directory"])
async def test_fsync_is_never_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str) -> None:
    real, failed = os.fsync, []

    def fsync(fd: int) -> None:
        path = os.readlink(f"/proc/self/fd/{fd}")
        if os.path.isdir(path) == (failing == "directory"):
            failed.append(path)
            raise OSError(5, "Input/output error")
        real(fd)

    async with opened("file", tmp_path / "blobs") as store:
        await put(store, [b"kept"], blob_id=new_blob_id(EPOCH))
        monkeypatch.setattr(os, "fsync", fsync)
        with pytest.raises(StorageError, match="InternalError"):
            await put(store, [b"lost"], blob_id=new_blob_id(EPOCH))
        monkeypatch.undo()
        assert len(failed) == 1
        assert list((await listed(store, EPOCH)).values()) == [4]


@pytest.mark.parametrize("point", ["put.mid_body", "put.after_fsync", "put.after_link", "put.after_dirsync"])
async def test_cancelled_writer_leaves_nothing(tmp_path: Path, point: str) -> None:
    async with opened("file", tmp_path / "blobs") as store:
        await put(store, [b"kept"], blob_id=new_blob_id(EPOCH))
        before = open_descriptors()
        failpoints.arm(f"{point}=stall:0.3")
        task = asyncio.create_task(put(store, [bytes(300_000)], blob_id=new_blob_id(EPOCH)))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        failpoints.arm("")
        assert list((await listed(store, EPOCH)).values()) == [4]
        assert open_descriptors() <= before


async def test_descriptor_is_not_closed_under_a_running_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened("file", tmp_path / "blobs") as store:
        blob_id = await put(store, [bytes(2_000_000)], blob_id=new_blob_id(EPOCH))
        reader = await store.open(blob_id, 0, 2_000_000)
        events: list[str] = []
        real_pread, real_close = os.pread, os.close

        def pread(fd: int, count: int, offset: int) -> bytes:
            time.sleep(0.1)
            data = real_pread(fd, count, offset)
            events.append("read")
            return data

        def close(fd: int) -> None:
            events.append("close")
            real_close(fd)

        monkeypatch.setattr(os, "pread", pread)
        monkeypatch.setattr(os, "close", close)
        async for _ in reader:
            break
        await reader.close()
        monkeypatch.undo()
        assert events == ["read", "read", "close"]


async def test_slow_fsync_stalls_neither_the_loop_nor_readers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.fsync

    def fsync(fd: int) -> None:
        time.sleep(0.3)
        real(fd)

    loop = asyncio.get_running_loop()
    async with opened("file", tmp_path / "blobs") as store:
        blob_id = await put(store, [b"x"], blob_id=new_blob_id(EPOCH))
        monkeypatch.setattr(os, "fsync", fsync)
        writers = [asyncio.create_task(put(store, [b"y"], blob_id=new_blob_id(EPOCH))) for _ in range(6)]
        await asyncio.sleep(0.01)
        slowest, reads = 0.0, 0
        while not all(writer.done() for writer in writers):
            start = loop.time()
            assert await get(store, blob_id, 0, 1) == b"x"
            slowest, reads = max(slowest, loop.time() - start), reads + 1
            await asyncio.sleep(0.01)
        await asyncio.gather(*writers)
        assert reads > 20
        assert slowest < 0.15


async def test_starting_process_spares_the_temporary_files_of_living_ones(tmp_path: Path) -> None:
    root = tmp_path / "blobs"
    async with opened("file-named-temporaries", root) as first:
        blob_id = new_blob_id(EPOCH)
        async with first.create(blob_id, Digester(())) as writer:
            await writer.write(bytes(300_000))
            (root / "tmp" / "left-by-the-dead").write_bytes(b"x")
            await writer.write(bytes(10))
            await writer.flush()
            living = {path.name for path in (root / "tmp").iterdir()} - {"left-by-the-dead"}
            assert len(living) == 1
            async with opened("file-named-temporaries", root):
                assert {path.name for path in (root / "tmp").iterdir()} == living
            await writer.finish(DESCRIPTION)
        assert await listed(first, EPOCH) == {blob_id: 300_010}
        assert list((root / "tmp").iterdir()) == []


def ordered(trace: str, *patterns: str) -> list[str]:
    """The lines that match the patterns, each after the one before; fails if one is missing."""
    lines = iter(trace.splitlines())
    found: list[str] = []
    for pattern in patterns:
        match = next((line for line in lines if re.search(pattern, line)), None)
        assert match is not None, f"no {pattern} after {found[-1:]} in\n{trace[-4000:]}"
        found.append(match)
    return found


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
@pytest.mark.parametrize("rich", [True, False], ids=["unnamed", "named"])
@pytest.mark.parametrize("size", SIZES)
def test_order_of_system_calls(tmp_path: Path, size: str, rich: bool) -> None:
    calls = "openat,write,pwrite64,fsetxattr,fsync,fdatasync,link,linkat,rename,renameat,renameat2,mkdirat,unlinkat"
    output = tmp_path / "trace"
    wrapper = ("strace", "-f", "-y", "-s", "64", "-o", str(output), "-e", f"trace={calls}")
    child = run_child(tmp_path / "blobs", size, rich=rich, wrapper=wrapper)
    if b"ptrace" in child.stderr.lower():
        pytest.skip("tracing is not permitted here")
    assert child.returncode == 0, child.stderr
    trace = output.read_text(errors="replace")
    trace = trace[trace.index('/blobs>, "00000003"') - 100 :]  # after the trials at the start
    temporary = r"[^>]*/blobs/[^>]*>(\(deleted\))?"
    shard = r"[^>]*/blobs/00000003/[0-9a-f]{2}>"
    first_bytes = r"\\0\\1\\2"
    directories = (
        r"mkdirat\(\d+<[^>]*/blobs>, \"00000003\"",
        r"mkdirat\(\d+<[^>]*/blobs/00000003>, \"ff\"",
        r"fsync\(\d+<[^>]*/blobs/00000003>\) += 0",
        r"fsync\(\d+<[^>]*/blobs>\) += 0",
    )
    attribute = (
        rf"write\(\d+<{temporary}, \"{first_bytes}",
        rf"fsetxattr\(\d+<{temporary}, \"user.rowlock\"",
        rf"fsync\(\d+<{temporary}\) += 0",
        rf"linkat\(.*/proc/self/fd/\d+\", \d+<{shard}, \"[0-9a-f]{{32}}\", AT_SYMLINK_FOLLOW\) += 0",
    )
    sidecar = (
        rf"write\(\d+<{temporary}, \"{first_bytes}",
        r"fsync\(\d+<[^>]*/blobs/tmp/[^>]*>\) += 0",
        r"write\(\d+<[^>]*/blobs/tmp/[^>]*>, \"\{",
        r"fsync\(\d+<[^>]*/blobs/tmp/[^>]*>\) += 0",
        rf"linkat\(\d+<[^>]*/blobs/tmp>, .*, \d+<{shard}, \"[0-9a-f]{{32}}\.json\", 0\) += 0",
        rf"linkat\(\d+<[^>]*/blobs/tmp>, .*, \d+<{shard}, \"[0-9a-f]{{32}}\", 0\) += 0",
    )
    durable = (rf"fsync\(\d+<{shard}\) += 0", r"write\(1<.*finished")
    found = ordered(trace, *directories, *(attribute if rich else sidecar), *durable)
    fsync_of_file = trace.index(found[-4] if rich else found[5])
    assert not re.search(rf"write\(\d+<{temporary}, \"[^{{]", trace[fsync_of_file:]), "written after its fsync"
    for line in trace.splitlines():
        if not re.search(r"\bf?setxattr\(|\bwrite\(", line):
            assert KEY not in line, "a client's bytes in a path"
