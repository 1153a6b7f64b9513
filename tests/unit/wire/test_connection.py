"""The seam to hypercorn."""

import hypercorn.asyncio.run
import pytest
from hypercorn.config import Config

from gateway.config import Settings
from gateway.server import configuration
from gateway.wire import connection
from gateway.wire.connection import ConnectionFactory, ConnectionLimits, EdgeConfig, install


def test_another_hypercorn_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "SUPPORTED_HYPERCORN", "0.17.0")
    with pytest.raises(RuntimeError, match="is not supported"):
        install()


def test_only_configured_servers_get_our_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    monkeypatch.setattr(hypercorn.asyncio.run, "TCPServer", None)
    monkeypatch.setattr(connection, "TCPServer", lambda *_: made.append("stock"))
    install()
    install()
    ours = EdgeConfig()
    ours.connections = lambda *_: made.append("ours")  # type: ignore[assignment,func-returns-value]
    for config in (Config(), ours):
        hypercorn.asyncio.run.TCPServer(None, None, config, None)
    assert made == ["stock", "ours"]


async def test_a_factory_begins_idle() -> None:
    factory = ConnectionFactory(ConnectionLimits())
    assert (factory.open, factory.idle.is_set()) == (0, True)


def test_configuration() -> None:
    config = configuration(Settings(keep_alive_seconds=7, drain_seconds=11))
    assert config.alpn_protocols == ["http/1.1"]
    assert (config.keep_alive_timeout, config.read_timeout, config.accesslog) == (7, None, None)
    assert config.graceful_timeout > 11
    assert not config.include_server_header
    assert not config.ssl_enabled
