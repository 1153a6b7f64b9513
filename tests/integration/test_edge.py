"""The edge over real TCP: a small app behind our drain guard, on our protocol class, on hypercorn and on uvicorn."""

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from conformance.wire.checks import CHECKS, KEY, PIECE, PORTABLE, Check, assert_alive, assert_serves
from conformance.wire.client import Target
from tests.integration.edge_app import FILE_BYTES, file_content

ROOT = Path(__file__).resolve().parents[2]
LIMITS = {
    "ROWLOCK_HEADER_TIMEOUT_SECONDS": "1",
    "ROWLOCK_BODY_IDLE_SECONDS": "1",
    "ROWLOCK_SEND_IDLE_SECONDS": "1",
    "ROWLOCK_DRAIN_SECONDS": "3",
    "ROWLOCK_CONNECTIONS": "50",
}


@dataclass
class Server:
    target: Target
    process: subprocess.Popen[bytes]
    notes: Path

    def noted(self, text: str, within_seconds: float = 5.0) -> bool:
        deadline = time.monotonic() + within_seconds
        while time.monotonic() < deadline:
            if self.notes.exists() and text in self.notes.read_text().splitlines():
                return True
            time.sleep(0.02)
        return False

    def open_files(self) -> int:
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=15)


@contextmanager
def serving(kind: str, directory: Path, **environment: str) -> Iterator[Server]:
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    notes = directory / f"notes-{time.monotonic_ns()}"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.integration.edge_app", kind, str(listener.fileno())],
        cwd=ROOT,
        pass_fds=[listener.fileno()],
        env={"PATH": "/usr/bin:/bin", "EDGE_NOTES": str(notes), **LIMITS, **environment},
    )
    target = Target("127.0.0.1", listener.getsockname()[1], header_timeout_seconds=1.0, body_idle_seconds=1.0)
    listener.close()
    try:
        yield Server(target, process, notes)
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module", params=["rowlock", "hypercorn"])
def edge(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(request.param, tmp_path_factory.mktemp(request.param)) as server:
        assert_alive(server.target)
        yield server


@pytest.fixture(params=["rowlock", "hypercorn"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", params=["uvicorn-httptools", "uvicorn-h11"])
def uvicorn(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(request.param, tmp_path_factory.mktemp("uvicorn")) as server:
        assert_alive(server.target)
        yield server


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_edge(edge: Server, check: Check) -> None:
    check(edge.target)


@pytest.mark.parametrize("check", PORTABLE, ids=lambda check: check.__name__)
def test_uvicorn(uvicorn: Server, check: Check) -> None:
    check(uvicorn.target)


def upload(target: Target, size: int) -> int:
    with target.connect() as wire:
        wire.head("PUT", KEY, "Authorization: a", f"Content-Length: {size}")
        wire.send(bytes(size))
        answer = wire.answer()
        assert answer.body == b"%d" % size
        return answer.status


class TestUploads:
    def test_a_large_body_arrives_whole(self, edge: Server) -> None:
        assert upload(edge.target, 20_000_000) == 200

    def test_100_Continue_comes_when_the_app_reads(self, edge: Server) -> None:
        with edge.target.connect() as wire:
            wire.head("PUT", KEY, "Authorization: a", "Content-Length: 5", "Expect: 100-continue")
            assert wire.answer(interim=True).status == 100
            wire.send(b"abcde")
            assert wire.answer().body == b"5"
            assert_serves(wire)

    def test_a_client_that_does_not_wait_for_100_Continue_is_served(self, edge: Server) -> None:
        with edge.target.connect() as wire:
            wire.head("PUT", KEY, "Authorization: a", "Content-Length: 5", "Expect: 100-continue")
            wire.send(b"abcde")
            assert wire.answer().body == b"5"

    def test_a_stalled_body_is_RequestTimeout(self, edge: Server) -> None:
        with edge.target.connect() as wire:
            wire.head("PUT", KEY, "Authorization: a", "Content-Length: 100")
            wire.send(b"abc")
            started = time.monotonic()
            answer = wire.answer()
            assert (answer.status, answer.closes) == (400, True)
            assert b"RequestTimeout" in answer.body
            assert 0.8 < time.monotonic() - started < 3
            assert wire.closed_within(5)

    def test_a_body_cut_by_half_close_is_IncompleteBody(self, edge: Server) -> None:
        with edge.target.connect() as wire:
            wire.head("PUT", KEY, "Authorization: a", "Content-Length: 100")
            wire.send(b"abc")
            wire.socket.shutdown(socket.SHUT_WR)
            answer = wire.answer()
            assert answer.status == 400
            assert b"IncompleteBody" in answer.body

    def test_a_client_that_goes_away_is_noticed_at_once(self, edge: Server) -> None:
        edge.notes.unlink(missing_ok=True)
        with edge.target.connect() as wire:
            wire.head("PUT", KEY, "Authorization: a", "Content-Length: 10000000")
            wire.send(PIECE * 20)
        assert edge.noted("disconnected")

    def test_a_defect_before_the_body_was_read_is_500_and_frees_the_connection(self, edge: Server) -> None:
        with edge.target.connect() as wire:
            wire.head("PUT", "/rowlock-wire-check/crash", "Authorization: a", "Transfer-Encoding: chunked")
            try:
                wire.send(b"1\r\nx\r\n" * 500)
            except ConnectionError:
                return
            assert wire.answer().status == 500
            assert wire.closed_within(5)
        assert_alive(edge.target)


class TestDownloads:
    def test_a_large_body_arrives_whole(self, edge: Server) -> None:
        with edge.target.connect() as wire:
            wire.head("GET", "/rowlock-wire-check/stream?size=30000000")
            answer = wire.answer()
            assert answer.complete
            assert answer.body == bytes(30_000_000)
            assert_serves(wire)

    def test_HEAD_and_304_have_no_body(self, edge: Server) -> None:
        with edge.target.connect() as wire:
            wire.head("HEAD", "/rowlock-wire-check/stream?size=1000")
            assert wire.answer("HEAD").header("content-length") == "1000"
            wire.head("GET", "/rowlock-wire-check/unchanged")
            answer = wire.answer()
            assert (answer.status, answer.header("etag"), answer.header("content-length")) == (304, '"a"', None)
            assert_serves(wire)

    def test_a_reader_that_fails_breaks_the_connection(self, edge: Server) -> None:
        self.assert_broken(edge)

    def test_a_reader_that_fails_breaks_the_connection_on_uvicorn(self, uvicorn: Server) -> None:
        self.assert_broken(uvicorn)

    def assert_broken(self, server: Server) -> None:
        with server.target.connect() as wire:
            wire.head("GET", "/rowlock-wire-check/broken?size=1000000")
            answer = wire.answer()
            assert answer.status == 200
            assert not answer.complete
            assert len(answer.body) < 1_000_000

    def test_a_reader_that_fails_at_once_is_answered(self, edge: Server) -> None:
        with edge.target.connect() as wire:
            wire.head("GET", "/rowlock-wire-check/unreadable?size=1000000")
            assert wire.answer().status == 500

    def test_a_slow_reader_is_cut_and_its_blob_closed(self, edge: Server) -> None:
        edge.notes.unlink(missing_ok=True)
        with edge.target.connect(receive_buffer_bytes=4096) as wire:
            wire.head("GET", "/rowlock-wire-check/stream?size=200000000")
            time.sleep(0.3)
            before = edge.open_files()
            assert edge.noted("closed", within_seconds=10)
            deadline = time.monotonic() + 5
            while edge.open_files() >= before and time.monotonic() < deadline:
                time.sleep(0.05)
            assert edge.open_files() < before, "the socket of a client that reads nothing is kept"
            assert not wire.answer().complete

    def test_a_client_that_goes_away_ends_the_reading(self, edge: Server) -> None:
        edge.notes.unlink(missing_ok=True)
        with edge.target.connect() as wire:
            wire.head("GET", "/rowlock-wire-check/stream?size=200000000&pause=0.01")
            wire.socket.recv(1000)
        assert edge.noted("closed", within_seconds=3)

    def test_a_client_that_only_half_closes_is_answered(self, edge: Server) -> None:
        with edge.target.connect() as wire:
            wire.head("GET", "/rowlock-wire-check/stream?size=2000000&pause=0.01")
            wire.socket.shutdown(socket.SHUT_WR)
            answer = wire.answer()
            assert answer.complete
            assert len(answer.body) == 2_000_000

    def test_no_server_header(self, edge: Server) -> None:
        with edge.target.connect() as wire:
            wire.head("GET", "/")
            answer = wire.answer()
            assert answer.header("server") is None
            assert answer.header("date") is not None


class TestFiles:
    """Bodies that are files: sent by the kernel where the server can, read and written elsewhere."""

    CONTENT = file_content()

    def whole(self, target: Target) -> None:
        with target.connect() as wire:
            for offset, size in ((0, FILE_BYTES), (1, 1), (4095, 300_001), (FILE_BYTES - 1, 1)):
                wire.head("GET", f"/rowlock-wire-check/file?offset={offset}&size={size}")
                answer = wire.answer()
                assert answer.header("content-length") == str(size)
                assert answer.body == self.CONTENT[offset : offset + size]
            assert_serves(wire)

    def test_ranges_arrive_whole(self, edge: Server) -> None:
        self.whole(edge.target)

    def test_ranges_arrive_whole_on_uvicorn(self, uvicorn: Server) -> None:
        self.whole(uvicorn.target)

    def test_HEAD_sends_nothing_of_it(self, edge: Server) -> None:
        with edge.target.connect() as wire:
            wire.head("HEAD", f"/rowlock-wire-check/file?size={FILE_BYTES}")
            assert wire.answer("HEAD").header("content-length") == str(FILE_BYTES)
            assert_serves(wire)

    def test_pipelined_ones_are_sent_in_order(self, edge: Server) -> None:
        with edge.target.connect() as wire:
            for number in range(10):
                wire.head("GET", f"/rowlock-wire-check/file?offset={number}&size=400000")
                wire.head("GET", KEY)
            for number in range(10):
                assert wire.answer().body == self.CONTENT[number : number + 400_000]
                assert wire.answer().status == 403

    def test_a_file_that_ends_too_early_breaks_the_connection(self, edge: Server) -> None:
        with edge.target.connect() as wire:
            wire.head("GET", f"/rowlock-wire-check/file?size={FILE_BYTES}&extra=1000")
            answer = wire.answer()
            assert answer.status == 200
            assert not answer.complete

    def test_a_slow_reader_is_cut_and_its_file_closed(self, kind: str, tmp_path: Path) -> None:
        with serving(kind, tmp_path) as server:
            assert_alive(server.target)
            before = server.open_files()
            with server.target.connect(receive_buffer_bytes=4096) as wire:
                wire.head("GET", f"/rowlock-wire-check/file?repeat=20&size={20 * FILE_BYTES}")
                assert server.noted("closed", within_seconds=10)
                deadline = time.monotonic() + 5
                while server.open_files() > before and time.monotonic() < deadline:
                    time.sleep(0.05)
                assert server.open_files() <= before
                assert not wire.answer().complete

    def test_a_client_that_goes_away_ends_the_sending(self, kind: str, tmp_path: Path) -> None:
        with serving(kind, tmp_path) as server:
            with server.target.connect(receive_buffer_bytes=4096) as wire:
                wire.head("GET", f"/rowlock-wire-check/file?repeat=20&size={20 * FILE_BYTES}")
                wire.socket.recv(1000)
            assert server.noted("closed", within_seconds=3)
            assert_alive(server.target)

    def test_sigterm_lets_it_finish(self, kind: str, tmp_path: Path) -> None:
        with serving(kind, tmp_path) as server, server.target.connect(receive_buffer_bytes=65536) as wire:
            wire.head("GET", f"/rowlock-wire-check/file?size={FILE_BYTES}")
            wire.socket.recv(1, socket.MSG_PEEK)
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            assert wire.answer().body == self.CONTENT
            assert server.process.wait(timeout=10) == 0


class TestEarlyInput:
    def test_a_request_and_the_end_of_the_input_at_once(self, edge: Server) -> None:
        with edge.target.connect() as wire:
            wire.head("GET", "/rowlock-wire-check/stream?size=100000")
            wire.socket.shutdown(socket.SHUT_WR)
            assert len(wire.answer().body) == 100_000
            assert wire.closed_within(3)

    def test_http_1_0(self, edge: Server) -> None:
        with edge.target.connect() as wire:
            wire.send(f"GET {KEY} HTTP/1.0\r\nHost: {edge.target.authority}\r\n\r\n".encode("ascii"))
            answer = wire.answer()
            assert (answer.status, answer.closes) == (403, True)
            assert wire.closed_within(3)

    def test_a_pipeline_of_a_thousand(self, edge: Server) -> None:
        """More than one read of requests, sent before the first answer is taken."""
        with edge.target.connect() as wire:
            request = f"GET {KEY} HTTP/1.1\r\nHost: {edge.target.authority}\r\n\r\n".encode("ascii")
            with ThreadPoolExecutor(1) as pool:
                sent = pool.submit(wire.send, request * 1000)
                assert [wire.answer().status for _ in range(1000)] == [403] * 1000
                sent.result()

    def test_a_bad_chunk_is_400_and_the_app_learns_of_it(self, edge: Server) -> None:
        edge.notes.unlink(missing_ok=True)
        with edge.target.connect() as wire:
            wire.head("PUT", KEY, "Authorization: a", "Transfer-Encoding: chunked")
            wire.send(b"3\r\nabc\r\n")
            wire.send(b"3\r\nabcXX")
            answer = wire.answer()
            assert (answer.status, answer.closes) == (400, True)
            assert edge.noted("disconnected")
            assert wire.closed_within(5)


class TestConnections:
    def test_over_the_cap_503_and_close(self, kind: str, tmp_path: Path) -> None:
        with serving(kind, tmp_path, ROWLOCK_CONNECTIONS="3") as server:
            held = [server.target.connect() for _ in range(3)]
            for wire in held:
                assert_serves(wire)
            with server.target.connect() as extra:
                answer = extra.answer()
                assert (answer.status, answer.header("retry-after"), answer.closes) == (503, "1", True)
                assert b"SlowDown" in answer.body
                assert extra.closed_within(3)
            for wire in held:
                assert_serves(wire)
                wire.socket.close()
            time.sleep(0.2)
            assert_alive(server.target)

    def test_an_idle_connection_is_closed(self, kind: str, tmp_path: Path) -> None:
        with serving(kind, tmp_path, ROWLOCK_KEEP_ALIVE_SECONDS="1") as server:
            for used in (False, True):
                with server.target.connect() as wire:
                    if used:
                        assert_serves(wire)
                    assert not wire.closed_within(0.7)
                    assert wire.closed_within(2)

    def test_an_app_that_cannot_start_ends_the_worker_with_1(self, kind: str, tmp_path: Path) -> None:
        with serving(kind, tmp_path, EDGE_START="crash") as server:
            assert server.process.wait(timeout=15) == 1

    def test_tls_speaks_only_http1(self, kind: str, tmp_path: Path) -> None:
        certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "1",
             "-keyout", str(key), "-out", str(certificate)],
            check=True, capture_output=True,
        )  # fmt: skip
        with serving(kind, tmp_path, ROWLOCK_TLS_CERT=str(certificate), ROWLOCK_TLS_KEY=str(key)) as server:
            target = Target("127.0.0.1", server.target.port, secure=True)
            assert upload(target, 300_000) == 200
            with target.connect() as wire:
                wire.head("PUT", KEY, "Content-Length: 10000000")
                assert wire.answer().status == 403


class TestSigterm:
    """Every request that had begun is answered; what exceeds the deadline is visibly cut."""

    @pytest.fixture
    def server(self, kind: str, tmp_path: Path) -> Iterator[Server]:
        with serving(kind, tmp_path) as server:
            assert_alive(server.target)
            yield server

    def test_idle_server_stops_at_once(self, server: Server) -> None:
        started = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - started < 2
        assert server.noted("lifespan ended")

    def test_idle_connections_do_not_hold_it(self, server: Server) -> None:
        with server.target.connect() as wire:
            assert_serves(wire)
            assert server.stop() == 0
            assert wire.closed_within(1)

    def test_during_an_upload(self, server: Server) -> None:
        with server.target.connect() as wire:
            wire.head("PUT", KEY, "Authorization: a", "Content-Length: 2000000")
            wire.send(bytes(1_000_000))
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            wire.send(bytes(1_000_000))
            answer = wire.answer()
            assert (answer.status, answer.body, answer.closes) == (200, b"2000000", True)
            assert server.process.wait(timeout=10) == 0

    def test_during_a_download(self, server: Server) -> None:
        with server.target.connect() as wire:
            wire.head("GET", "/rowlock-wire-check/stream?size=2000000&pause=0.05")
            time.sleep(0.1)
            server.process.send_signal(signal.SIGTERM)
            answer = wire.answer()
            assert answer.complete
            assert len(answer.body) == 2_000_000
            assert server.process.wait(timeout=10) == 0

    def test_readiness_fails_first(self, server: Server) -> None:
        with server.target.connect() as wire:
            assert_serves(wire)
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.1)
            wire.head("GET", "/")
            answer = wire.answer()
            assert (answer.status, answer.closes) == (503, True)
            assert wire.closed_within(1)

    def test_over_the_deadline_a_waiting_request_is_503(self, server: Server) -> None:
        with server.target.connect() as wire:
            wire.head("GET", "/rowlock-wire-check/slow?seconds=60")
            assert server.noted("slow began")
            started = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            answer = wire.answer()
            assert (answer.status, answer.header("retry-after"), answer.closes) == (503, "1", True)
            assert 2.5 < time.monotonic() - started < 5
            assert server.process.wait(timeout=5) == 0

    def test_over_the_deadline_a_download_is_visibly_cut(self, server: Server) -> None:
        with server.target.connect() as wire:
            wire.head("GET", "/rowlock-wire-check/stream?size=10000000&pause=0.2")
            time.sleep(0.1)
            server.process.send_signal(signal.SIGTERM)
            assert not wire.answer().complete
            assert server.process.wait(timeout=5) == 0
            assert server.noted("closed")

    def test_a_second_signal_does_not_wait(self, server: Server) -> None:
        with server.target.connect() as wire:
            wire.head("GET", "/rowlock-wire-check/slow?seconds=60")
            assert server.noted("slow began")
            started = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.2)
            server.process.send_signal(signal.SIGTERM)
            assert wire.answer().status == 503
            assert server.process.wait(timeout=5) == 0
            assert time.monotonic() - started < 2.5

    def test_under_load_no_request_fails(self, server: Server) -> None:
        """Connections that obey Connection: close lose nothing while the worker drains."""
        failures: list[str] = []
        answered: list[int] = []
        stopping = threading.Event()

        def client() -> None:
            while not stopping.is_set():
                with server.target.connect() as wire:
                    closes = False
                    while not closes:
                        wire.head("GET", "/rowlock-wire-check/stream?size=20000")
                        answer = wire.answer()
                        answered.append(answer.status)
                        closes = answer.closes
                        if answer.status != 200 or not answer.complete:
                            failures.append(f"{answer.status} {answer.complete}")

        with ThreadPoolExecutor(8) as pool:
            clients = [pool.submit(client) for _ in range(8)]
            time.sleep(1.0)
            stopping.set()
            server.process.send_signal(signal.SIGTERM)
        for finished in clients:
            finished.result()
        assert server.process.wait(timeout=10) == 0
        assert failures == []
        assert len(answered) > 100
