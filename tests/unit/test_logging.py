"""Logs: no secret and no control character leaves the process."""

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from typing import ClassVar

import pytest
import structlog

from gateway.config import Settings
from gateway.telemetry.logging import (
    REDACTED,
    clean_text,
    configure_logging,
    escape_text,
    is_secret_name,
    log_facts,
    redact_text,
)

CANARY = "c4n4ryc4n4ry"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJjNG40cnkifQ.c4n4ryc4n4ry"


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What goes to standard error, as JSON lines."""
    stream = io.StringIO()
    root, ours = logging.getLogger(), logging.getLogger("gateway")
    before = root.handlers[:], root.level, ours.level
    configure_logging(Settings(log_format="json"), stream)
    yield stream
    structlog.reset_defaults()
    logging.captureWarnings(False)
    root.handlers[:], level, ours_level = before
    root.setLevel(level)
    ours.setLevel(ours_level)


def written(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize(
    "name",
    [
        "authorization", "Authorization", "signature", "token", "secret", "password", "x-amz-signature",
        "X-Amz-Credential", "x-amz-security-token", "secret_access_key", "session_token", "SessionToken", "apikey",
        "api_key", "master_key", "jwt", "jwt_secret", "set-cookie", "SecretAccessKey",
    ],
)  # fmt: skip
def test_field_of_this_name_is_masked(lines: io.StringIO, name: str) -> None:
    assert is_secret_name(name)
    log = structlog.get_logger("gateway.test")
    log.info("request", **{name: CANARY}, headers={name: [CANARY], "deep": [{name: CANARY}]})
    assert CANARY not in lines.getvalue()
    assert written(lines)[0][name] == REDACTED


@pytest.mark.parametrize("name", ["access_key_id", "key", "bucket", "continuation_token", "tokens_left", "author"])
def test_field_of_this_name_is_kept(lines: io.StringIO, name: str) -> None:
    structlog.get_logger("gateway.test").info("request", **{name: "value"})
    assert written(lines)[0][name] == "value"


@pytest.mark.parametrize(
    "text",
    [
        f"GET /b/k?X-Amz-Algorithm=A&X-Amz-Signature={CANARY}&X-Amz-Date=d",
        f"GET /b/k?X-Amz-Credential={CANARY}%2F20260101%2Fus-east-1",
        f"GET /b/k?x-amz-security-token={CANARY}",
        f"/object/sign/b/k?token={CANARY}&download=",
        f"AWS4-HMAC-SHA256 Credential={CANARY}/20260101/s3/aws4_request, SignedHeaders=host, Signature={CANARY}",
        f"Authorization: AWS4-HMAC-SHA256 {CANARY}",
        f"Bearer {CANARY}",
        f"postgresql://user:{CANARY}@host/database",
        f"host=/s user=u password={CANARY} dbname=d",
        f"host=/s user=u password='{CANARY} with spaces'",
        f"{{'secret_access_key': '{CANARY}', 'b': 1}}",
        f'{{"password": "{CANARY}"}}',
        f"secret_access_key={CANARY}",
        f"a text with {JWT} inside",
    ],
)
def test_secret_inside_a_text_is_masked(lines: io.StringIO, text: str) -> None:
    structlog.get_logger("gateway.test").warning(text, path=text, arguments=(text,), raw=text.encode())
    logging.getLogger("hypercorn.error").error("%s", text)
    assert CANARY not in lines.getvalue()
    assert REDACTED in lines.getvalue()
    assert len(written(lines)) == 2


def test_what_is_no_secret_stays_readable() -> None:
    for text in ("GET /b/k?list-type=2&prefix=a%2Fb&max-keys=5", "http://host:9000/b/k", "key a:b@c", "5 tokens left"):
        assert redact_text(text) == text
    assert redact_text("/k?token=abc&download=x") == f"/k?token={REDACTED}&download=x"


def test_exception_is_written_without_its_secrets(lines: io.StringIO) -> None:
    def fail() -> None:
        raise ValueError(f"cannot connect: password={CANARY}\r\nforged: line\x1b[31m")

    log = structlog.get_logger("gateway.test")
    try:
        fail()
    except ValueError:
        log.exception("failed")
        logging.getLogger("psycopg.pool").exception("failed too")
    assert CANARY not in lines.getvalue()
    first, second = written(lines)
    assert "ValueError" in str(first["exception"])
    assert "ValueError" in str(second["exception"])
    assert "\x1b" not in str(first["exception"])
    assert "\r" not in str(first["exception"])


@pytest.mark.parametrize("log_format", ["json", "pretty"])
def test_control_characters_cannot_forge_a_line_or_paint_a_terminal(lines: io.StringIO, log_format: str) -> None:
    configure_logging(Settings(log_format=log_format), lines)  # type: ignore[arg-type]
    evil = 'k\r\n{"event": "forged"}\x1b[2J\x00\x9b31m\u2028\u202e'
    structlog.get_logger("gateway.test").info(evil, key=evil, **{evil: evil}, deep={evil: [evil]})
    text = lines.getvalue()
    assert text.count("\n") == 1
    assert not set(text) & set("\r\x1b\x00\x9b\u2028\u202e")
    assert "\\x1b" in text


def test_escape_keeps_ordinary_text() -> None:
    assert escape_text("bucket/ключ 鍵\t😀") == "bucket/ключ 鍵\t😀"


def test_level_filters_our_lines_and_other_libraries_start_at_warning(lines: io.StringIO) -> None:
    configure_logging(Settings(log_format="json", log_level="error"), lines)
    structlog.get_logger("gateway.one").warning("not this")
    structlog.get_logger("gateway.one").error("this")
    configure_logging(Settings(log_format="json", log_level="debug"), lines)
    structlog.get_logger("gateway.two").debug("this too")
    logging.getLogger("botocore.auth").debug("never")
    logging.getLogger("botocore.auth").warning("and this")
    assert [line["event"] for line in written(lines)] == ["this", "this too", "and this"]


def test_lines_carry_time_level_and_bound_context(lines: io.StringIO) -> None:
    with structlog.contextvars.bound_contextvars(request_id="r1"):
        structlog.get_logger("gateway.test").info("done", status=200)
    (line,) = written(lines)
    assert str(line.pop("timestamp")).endswith("Z")
    assert line == {"event": "done", "status": 200, "level": "info", "logger": "gateway.test", "request_id": "r1"}


def test_forked_process_logs_too() -> None:
    program = (
        "import os, structlog\n"
        "from gateway.config import Settings\n"
        "from gateway.telemetry.logging import configure_logging\n"
        "configure_logging(Settings(log_format='json'))\n"
        "log = structlog.get_logger('gateway.fork')\n"
        "log.info('parent')\n"
        "if os.fork() == 0:\n"
        "    log.info('child')\n"
        "    os._exit(0)\n"
        "os.wait()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True, check=True)
    assert [json.loads(line)["event"] for line in done.stderr.splitlines()] == ["parent", "child"]


class TestFlatLines:
    """The fast way keeps the promises of the other one."""

    FACTS: ClassVar[dict[str, object]] = {
        "request_id": "A",
        "key": "plain/é",
        "status": 200,
        "code": None,
        "milliseconds": 0.5,
    }

    def test_the_same_line_as_structlog(self, lines: io.StringIO) -> None:
        structlog.get_logger("gateway.test").info("request", **self.FACTS)
        log_facts(logging.getLogger("gateway.test"), "request", self.FACTS)
        slow, fast = written(lines)
        assert {**slow, "timestamp": ""} == {**fast, "timestamp": ""}
        assert list(fast)[:5] == list(self.FACTS)

    @pytest.mark.parametrize(
        "text",
        [
            f"X-Amz-Signature={CANARY}", f"Authorization: {CANARY}", f"bearer {CANARY}", f"BEARER {CANARY}", JWT,
            f"postgres://user:{CANARY}@host/db", f"a\x1b[31m{JWT}", "plain", "a=b",
            "line\r\nforged", "\u202eevil", "\x00",
        ],
    )  # fmt: skip
    def test_texts_are_cleaned_as_elsewhere(self, lines: io.StringIO, text: str) -> None:
        structlog.get_logger("gateway.test").info("request", key=text)
        log_facts(logging.getLogger("gateway.test"), "request", {"key": text})
        slow, fast = written(lines)
        assert slow["key"] == fast["key"] == clean_text(text)
        assert CANARY not in lines.getvalue()
        assert len(lines.getvalue().splitlines()) == 2

    def test_below_the_level_nothing_is_written(self, lines: io.StringIO) -> None:
        logging.getLogger("gateway").setLevel(logging.WARNING)
        log_facts(logging.getLogger("gateway.test"), "request", self.FACTS)
        assert lines.getvalue() == ""

    def test_pretty(self) -> None:
        stream = io.StringIO()
        root, ours = logging.getLogger(), logging.getLogger("gateway")
        before = root.handlers[:], root.level, ours.level
        try:
            configure_logging(Settings(log_format="pretty"), stream)
            log_facts(logging.getLogger("gateway.test"), "request", {"key": f"token={CANARY}"})
        finally:
            structlog.reset_defaults()
            logging.captureWarnings(False)
            root.handlers[:], level, ours_level = before
            root.setLevel(level)
            ours.setLevel(ours_level)
        assert "request" in stream.getvalue()
        assert CANARY not in stream.getvalue()
