"""Files to sockets: ranges, waits, lost clients, and no descriptor left behind."""

import asyncio
import os
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.wire.http1.sendfile import FileSender, FileTooShort

CONTENT = bytes(range(256)) * 20_000
SMALL_BYTES = 64 * 1024


@pytest.fixture
def fd(tmp_path: Path) -> Iterator[int]:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    number = os.open(path, os.O_RDONLY)
    yield number
    os.close(number)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    # Buffers that hold a fraction of the file, so that who sends it has to wait.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BYTES)
        client.connect(listener.getsockname())
        server, _ = listener.accept()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL_BYTES)
    server.setblocking(False)
    client.setblocking(False)
    yield server, client
    server.close()
    client.close()


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


class Waits:
    def __init__(self) -> None:
        self.blocked = self.progressed = 0
        self.first = asyncio.Event()

    def on_blocked(self) -> None:
        self.blocked += 1
        self.first.set()

    def on_progress(self) -> None:
        self.progressed += 1

    def sender(self, threads: ThreadPoolExecutor, sock: socket.socket) -> FileSender:
        return FileSender(threads, sock, on_blocked=self.on_blocked, on_progress=self.on_progress)


async def receive(client: socket.socket, size: int) -> bytes:
    content = bytearray()
    while len(content) < size:
        content += await asyncio.get_running_loop().sock_recv(client, 65536)
    return bytes(content)


async def test_a_range_arrives_whole(
    fd: int, pair: tuple[socket.socket, socket.socket], threads: ThreadPoolExecutor
) -> None:
    server, client = pair
    before = open_descriptors()
    waits = Waits()
    sending = asyncio.create_task(waits.sender(threads, server).send(fd, 3, len(CONTENT) - 5))
    assert await receive(client, len(CONTENT) - 5) == CONTENT[3:-2]
    await sending
    assert waits.blocked == waits.progressed > 0
    assert open_descriptors() == before


async def test_a_file_that_is_too_short(
    fd: int, pair: tuple[socket.socket, socket.socket], threads: ThreadPoolExecutor
) -> None:
    before = open_descriptors()
    with pytest.raises(FileTooShort):
        await Waits().sender(threads, pair[0]).send(fd, len(CONTENT) - 10, 11)
    assert open_descriptors() == before


async def test_a_lost_client_ends_the_wait(
    fd: int, pair: tuple[socket.socket, socket.socket], threads: ThreadPoolExecutor
) -> None:
    before = open_descriptors()
    waits = Waits()
    sender = waits.sender(threads, pair[0])
    sending = asyncio.create_task(sender.send(fd, 0, len(CONTENT)))
    await waits.first.wait()
    sender.connection_lost()
    with pytest.raises(ConnectionResetError):
        await sending
    assert open_descriptors() == before


async def test_cancelled_while_it_waits(
    fd: int, pair: tuple[socket.socket, socket.socket], threads: ThreadPoolExecutor
) -> None:
    before = open_descriptors()
    waits = Waits()
    sending = asyncio.create_task(waits.sender(threads, pair[0]).send(fd, 0, len(CONTENT)))
    await waits.first.wait()
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert open_descriptors() == before


async def test_cancelled_while_a_thread_sends(fd: int, pair: tuple[socket.socket, socket.socket]) -> None:
    """The descriptors stay open until the thread is done with them, or it would write to another client."""
    with ThreadPoolExecutor(1) as threads:
        before = open_descriptors()
        release = asyncio.Event()
        loop = asyncio.get_running_loop()
        threads.submit(lambda: asyncio.run_coroutine_threadsafe(release.wait(), loop).result())
        sending = asyncio.create_task(Waits().sender(threads, pair[0]).send(fd, 0, 1000))
        await asyncio.sleep(0.01)
        for _ in range(3):
            sending.cancel()
            await asyncio.sleep(0.01)
        assert not sending.done()
        assert open_descriptors() == before + 1
        release.set()
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert open_descriptors() == before
