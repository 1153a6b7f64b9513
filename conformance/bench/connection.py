"""One keep-alive connection that plays a script as fast as the server answers, and writes down what it saw."""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Final, cast

from conformance.bench.wire import Answer, AnswerParser, Exchange, MalformedAnswerError, Script

READ_BUFFER_BYTES: Final = 256 * 1024
_MAX_FAILED_CONNECTS: Final = 20
_RECONNECT_SECONDS: Final = 0.05


@dataclass(slots=True)
class Recorder:
    """What the connections of one process saw. An operation that began before ``count_from`` is warm-up."""

    count_from: float
    stop_at: float
    latencies_seconds: list[float] = field(default_factory=list)
    counted_bytes: int = 0
    all_operations: int = 0
    last_end: float = 0.0
    reconnects: int = 0
    errors: Counter[str] = field(default_factory=Counter)


class Player(asyncio.BufferedProtocol):
    """Plays one script over one connection at a time; a connection that is lost is opened again."""

    def __init__(self, host: str, port: int, script: Script, recorder: Recorder) -> None:
        self._address = (host, port)
        self._script = script
        self._recorder = recorder
        self._parser = AnswerParser()
        self._buffer = memoryview(bytearray(READ_BUFFER_BYTES))
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None
        self._answer: Answer | None = None
        self._operation_start: float | None = None
        self._operation_bytes = 0
        self._unsent = 0
        self._may_write = True
        self._lost = asyncio.Event()
        self._ended = False
        self._failure: Exception | None = None

    async def play(self) -> None:
        """Play until the script ends or the time is up. Failed requests are counted; only an error of the script
        itself is raised."""
        loop = asyncio.get_running_loop()
        failures = 0
        while not self._ended and failures < _MAX_FAILED_CONNECTS:
            self._lost.clear()
            try:
                await loop.create_connection(lambda: self, *self._address)
                failures = 0
            except OSError as error:
                failures += 1
                self._recorder.errors[type(error).__name__] += 1
                await asyncio.sleep(_RECONNECT_SECONDS)
                continue
            await self._lost.wait()
        if self._failure is not None:
            raise self._failure

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not inherit from asyncio's
        transport = cast(asyncio.Transport, transport)
        transport.set_write_buffer_limits(high=1024 * 1024, low=256 * 1024)
        self._transport = transport
        self._may_write = True
        self._send_next()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._exchange is not None:
            self._fail("connection lost")
        self._transport = None
        self._recorder.reconnects += not self._ended
        self._lost.set()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        exchange = self._exchange
        if exchange is None:
            return self._close()
        try:
            if not self._parser.feed(self._buffer[:nbytes]):
                return None
        except MalformedAnswerError as error:
            self._fail(str(error))
            return self._close()
        return self._finish(exchange)

    def pause_writing(self) -> None:
        self._may_write = False

    def resume_writing(self) -> None:
        self._may_write = True
        self._send_payload()

    def _finish(self, exchange: Exchange) -> None:
        parser, now = self._parser, time.perf_counter()
        self._operation_bytes += parser.body_bytes + (exchange.payload.size_bytes if exchange.payload else 0)
        if parser.status != exchange.status:
            self._fail(f"status {parser.status}")
        else:
            self._exchange = None
            self._answer = Answer(parser.status, parser.head, parser.body)
            if exchange.ends_operation:
                self._record(now)
        if parser.closes or self._unsent:
            # an answer before the end of the request leaves the connection unusable
            return self._close()
        return self._send_next()

    def _record(self, now: float) -> None:
        recorder, start = self._recorder, self._operation_start
        recorder.all_operations += 1
        if start is not None and start >= recorder.count_from:
            recorder.latencies_seconds.append(now - start)
            recorder.counted_bytes += self._operation_bytes
            recorder.last_end = now
        self._operation_start = None

    def _fail(self, reason: str) -> None:
        self._recorder.errors[reason] += 1
        self._exchange, self._operation_start = None, None
        self._answer = Answer(0, b"", b"")

    def _send_next(self) -> None:
        now = time.perf_counter()
        if self._operation_start is None:
            if now >= self._recorder.stop_at:
                return self._end()
            self._operation_start, self._operation_bytes = now, 0
        try:
            exchange = next(self._script) if self._answer is None else self._script.send(self._answer)
        except StopIteration:
            return self._end()
        except Exception as error:
            self._failure = error
            return self._end()
        self._exchange = exchange
        self._parser.begin(exchange)
        assert self._transport is not None
        payload = exchange.payload
        if payload is None:
            self._transport.write(exchange.head)
        elif payload.repeats == 1:
            self._transport.writelines((exchange.head, payload.block))
        else:
            self._transport.write(exchange.head)
            self._unsent = payload.repeats
            self._send_payload()
        return None

    def _send_payload(self) -> None:
        while self._unsent and self._may_write and self._transport is not None and self._exchange is not None:
            assert self._exchange.payload is not None
            self._unsent -= 1
            self._transport.write(self._exchange.payload.block)

    def _end(self) -> None:
        self._ended = True
        self._script.close()
        self._close()

    def _close(self) -> None:
        self._unsent = 0
        if self._transport is not None:
            self._transport.close()
