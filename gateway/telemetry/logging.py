"""Logging: structlog for our own lines, the standard library's loggers (hypercorn, psycopg) through the same end.

Two promises hold for every line, whoever wrote it (security.md L): no secret leaves the process, whether it came as a
field, inside a query string, a header, a connection string or a traceback; and no control character does, so a key with
CR, LF or ANSI in it cannot forge a line or paint a terminal.
"""

import itertools
import json
import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any, Final, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from gateway.config import Settings

REDACTED: Final = "[redacted]"

# Words of a field's or parameter's name that mark its value as a secret.
_SECRET_WORDS: Final = (
    "apikey", "authorization", "cookie", "credential", "credentials", "jwt", "passwd", "password", "secret",
    "signature", "token",
)  # fmt: skip
# Names that hold such a word and are no secret: S3's paging cursors.
_PUBLIC_NAMES: Final = frozenset({"continuation_token", "next_continuation_token"})
_NAME_PARTS: Final = re.compile(r"[a-z0-9]+|[A-Z]+(?![a-z])|[A-Z][a-z0-9]*")
_SECRET_PAIRS: Final = frozenset({("api", "key"), ("master", "key")})

_NAME: Final = rf"\b(?:[\w-]*[-_])?(?:{'|'.join(_SECRET_WORDS)})(?:[-_]access[-_]key)?"
_SECRETS_IN_TEXT: Final = (
    # X-Amz-Signature=, token=, password='', Credential=
    (re.compile(rf"(?i)({_NAME}\s*=\s*)(?:'[^']*'|[^\s&,;'\"]+)"), rf"\1{REDACTED}"),
    # "secret_access_key": "", Authorization:
    (re.compile(rf"(?i)({_NAME}['\"]?\s*:\s*)(?:b?'[^']*'|\"[^\"]*\"|[^\r\n,}}]+)"), rf"\1{REDACTED}"),
    (re.compile(r"(?i)\b(bearer\s+)[\w.~+/=-]+"), rf"\1{REDACTED}"),
    (re.compile(r"(://[^\s:/@]*:)[^\s/@]+@"), rf"\1{REDACTED}@"),
    (re.compile(r"eyJ[\w-]{8,}\.[\w-]+\.[\w-]*"), REDACTED),
)
# What every secret in a text contains; a text without any of it needs no closer look.
_SECRET_HINT: Final = re.compile(r"[=:]|eyJ|bearer", re.IGNORECASE)
# C0 without tab, DEL, C1, the line and paragraph separators, and what reorders text on a terminal.
_CONTROL: Final = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def configure_logging(settings: Settings, stream: TextIO | None = None) -> None:
    """Send everything to ``stream`` (default: standard error), as JSON or, on a terminal, as readable lines.

    Call once a process; a fork inherits it. Other libraries' lines are kept from ``warning`` on: their debug output
    prints requests.
    """
    target = stream if stream is not None else sys.stderr
    pretty = settings.log_format == "pretty" or (settings.log_format == "auto" and target.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
    ]
    renderer: Processor = (
        structlog.dev.ConsoleRenderer(colors=target.isatty(), exception_formatter=structlog.dev.plain_traceback)
        if pretty
        else structlog.processors.JSONRenderer(default=str, ensure_ascii=False)
    )
    handler = logging.StreamHandler(target) if pretty else _JsonLines(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, redact, escape, renderer],
        )
    )
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    logging.getLogger("gateway").setLevel(level)
    # It warns of forms that are malformed, which is the client's affair and answered as such.
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    logging.captureWarnings(True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def log_facts(logger: logging.Logger, event: str, facts: dict[str, Any]) -> None:
    """Write one line at level ``info``: ``facts`` are texts, numbers and None, under names that are no secrets.

    For lines that every request writes: without a LogRecord and the processors it takes a fraction of the time of
    structlog's way, to the same end.
    """
    if not logger.isEnabledFor(logging.INFO):
        return
    for handler in logging.getLogger().handlers:
        if isinstance(handler, _JsonLines):
            handler.write(logger.name, event, facts)
            return
    structlog.get_logger(logger.name).info(event, **facts)


class _JsonLines(logging.StreamHandler[TextIO]):
    """Writes the lines of :func:`log_facts` straight as JSON, and all others through the processors."""

    _encode = staticmethod(json.JSONEncoder(ensure_ascii=False, default=str, check_circular=False).encode)

    def write(self, logger_name: str, event: str, facts: Mapping[str, Any]) -> None:
        """One line. A stream that cannot be written to costs the line, never the request."""
        now = datetime.now(UTC).isoformat()
        # What is added here needs no cleaning; its colons would make every timestamp look like a secret.
        added = {"event": event, "level": "info", "logger": logger_name, "timestamp": f"{now[:-6]}Z"}
        if _is_harmless(" ".join([value for value in facts.values() if isinstance(value, str)])):
            line = {**facts, **added}
        else:
            cleaned = {name: clean_text(value) if isinstance(value, str) else value for name, value in facts.items()}
            line = cleaned | added
        text = f"{self._encode(line)}{self.terminator}"
        with self.lock or nullcontext():
            try:
                self.stream.write(text)
                self.stream.flush()
            except (OSError, ValueError):
                return


def _is_harmless(text: str) -> bool:
    """Whether :func:`clean_text` would surely leave this as it is: it holds no hint of a secret, and is printable, as
    no control character is. In a fraction of the time of the two searches."""
    if "=" in text or ":" in text or not text.isprintable():
        return False
    folded = text.casefold()
    return "eyj" not in folded and "bearer" not in folded


def clean_text(text: str) -> str:
    """The text without secrets and control characters, as :func:`redact` and :func:`escape` would have it."""
    if _SECRET_HINT.search(text) is not None:
        text = redact_text(text)
    return escape_text(text) if _CONTROL.search(text) is not None else text


def redact(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Mask every field whose name says secret, at any depth, and every secret inside texts."""
    return {name: _redacted(name, value) for name, value in event.items()}


def _redacted(name: str, value: Any) -> Any:
    if value is not None and is_secret_name(name):
        return REDACTED
    match value:
        case bool() | int() | float() | None:
            return value
        case Mapping():
            return {key: _redacted(str(key), inner) for key, inner in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_redacted("", inner) for inner in value]
        case bytes() | bytearray():
            return redact_text(bytes(value).decode("utf-8", "backslashreplace"))
        case _:
            return redact_text(value if isinstance(value, str) else str(value))


def is_secret_name(name: str) -> bool:
    """Whether a field, header or query parameter of this name holds a secret."""
    if name.lower() in _PUBLIC_NAMES:
        return False
    parts = [part.lower() for part in _NAME_PARTS.findall(name)]
    return any(part in _SECRET_WORDS for part in parts) or any(
        pair in _SECRET_PAIRS for pair in itertools.pairwise(parts)
    )


def redact_text(text: str) -> str:
    """The text with secrets masked: query strings, headers, connection strings, JWTs."""
    for pattern, replacement in _SECRETS_IN_TEXT:
        text = pattern.sub(replacement, text)
    return text


def escape(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Show control characters as ``\\x1b``-like escapes. Only tracebacks, which we format, keep their line ends."""
    return {
        escape_text(name): _escaped(value, keep_lines=name in ("exception", "stack")) for name, value in event.items()
    }


def _escaped(value: Any, keep_lines: bool = False) -> Any:
    match value:
        case str():
            return "\n".join(map(escape_text, value.split("\n"))) if keep_lines else escape_text(value)
        case MutableMapping():
            return {escape_text(str(name)): _escaped(inner) for name, inner in value.items()}
        case list():
            return [_escaped(inner) for inner in value]
        case _:
            return value


def escape_text(text: str) -> str:
    """The text with every control character as an escape."""
    return _CONTROL.sub(lambda found: found.group().encode("unicode_escape").decode("ascii"), text)
