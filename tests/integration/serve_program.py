"""A program for the real ``gateway.startup.serve``: its workers speak just enough HTTP to be watched and killed.

Run as ``python -m tests.integration.serve_program <migrations directory>``; settings come from the environment.
"""

import asyncio
import os
import signal
import socket
import sys
import time
from pathlib import Path

import psycopg

from gateway.commands.config import load_settings
from gateway.config import Settings
from gateway.errors import StartupError
from gateway.metadata.embedded import Databases
from gateway.startup import AccessKey, Program, serve
from gateway.telemetry.logging import configure_logging


def run_worker(settings: Settings, listener: socket.socket, databases: Databases, index: int) -> None:
    """``/`` says the pid and what the database calls us, ``/slow`` takes a second; SIGTERM drains."""
    mode = os.environ.get("TEST_WORKER", "")
    if mode == "crash":
        raise RuntimeError("a worker that cannot live")
    if mode == "stuck":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            time.sleep(1)
    asyncio.run(_answer(listener, databases))


async def _answer(listener: socket.socket, databases: Databases) -> None:
    listener.setblocking(False)
    stop, running = asyncio.Event(), set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        running.add(task)
        try:
            path = (await reader.readuntil(b"\r\n\r\n")).split()[1]
            if path == b"/slow":
                print("slow request began", file=sys.stderr, flush=True)
                await asyncio.sleep(1)
            async with await psycopg.AsyncConnection.connect(databases.gateway_url) as connection:
                row = await (await connection.execute("select current_user::text")).fetchone()
            body = f"{os.getpid()} {row[0] if row else ''}".encode()
            writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            await writer.drain()
        finally:
            writer.close()
            running.discard(task)

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    server = await asyncio.start_server(handle, sock=listener)
    await stop.wait()
    server.close()
    while running:
        await asyncio.wait(set(running))


def run_background(settings: Settings, databases: Databases) -> None:
    """Waits to be stopped."""
    signal.sigwait([signal.SIGTERM])


def ensure_first_key(settings: Settings, databases: Databases, key: AccessKey) -> bool:
    """Keep one key in a table."""
    with psycopg.connect(databases.owner_url) as connection:
        return (
            connection.execute(
                "insert into example.keys select %s where not exists (select from example.keys) returning id",
                [key.access_key_id],
            ).fetchone()
            is not None
        )


def main() -> int:
    try:
        settings = load_settings()
        configure_logging(settings)
        program = Program(run_worker, run_background, ensure_first_key, ("example",), Path(sys.argv[1]))
        return serve(settings, program)
    except StartupError as error:
        for line in str(error).splitlines():
            print(f"rowlock: {line}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
