"""``rowlock serve``: run the server."""

from dataclasses import asdict
from importlib import import_module
from typing import Any, Final

from gateway.commands.config import Flags, load_settings
from gateway.startup import Program
from gateway.startup import serve as run
from gateway.telemetry.logging import configure_logging

# Imported by name when the server starts, so that the command line does not load the whole server for its help.
PARTS: Final = {
    "run_worker": "gateway.server",
    "run_background": "gateway.server",
    "ensure_first_key": "gateway.commands.keys",
}


def serve(*, flags: Flags | None = None) -> int:
    """Run the server."""
    settings = load_settings(**asdict(flags or Flags()))
    configure_logging(settings)
    return run(settings, load_program())


def load_program() -> Program:
    """The server's parts. Importing them here, before the fork, is what lets workers share their memory."""
    parts: dict[str, Any] = {name: getattr(import_module(module), name) for name, module in PARTS.items()}
    return Program(**parts)
