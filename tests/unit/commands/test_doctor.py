"""``rowlock doctor`` against a server that verifies, behind ways that spoil requests."""

import http.server
import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from xml.sax.saxutils import escape

import pytest

import sigv4
from gateway.commands import doctor
from tests.sigv4.support import KEY, SECRET, Request


@dataclass(frozen=True)
class Way:
    """What stands between the client and a server that verifies."""

    region: str = "us-east-1"
    secret: str = SECRET
    clock: timedelta = timedelta()
    host: str | None = None
    strip_prefix: str = ""
    normalise: bool = False
    add_header: tuple[str, str] | None = None
    answer: tuple[int, bytes] | None = None

    def change(self, request):
        path = request.raw_path.decode().removeprefix(self.strip_prefix)
        if self.normalise:
            path = path.replace("//", "/").replace("/./", "/")
        request = replace(request, raw_path=path.encode())
        if self.host:
            request = request.replacing("host", self.host)
        return request.with_header(*self.add_header) if self.add_header else request

    def judge(self, request):
        """Status and body of the answer."""
        if self.answer is not None:
            return self.answer
        fields = {}
        try:
            signed = sigv4.parse(self.change(request), region=self.region, now=datetime.now(UTC) + self.clock)
            assert signed is not None
            if signed.access_key_id != KEY:
                raise sigv4.SignatureError("InvalidAccessKeyId", "unknown")
            sigv4.verify(self.change(request), signed, self.secret)
            status, code, message = 404, "NoSuchBucket", "The specified bucket does not exist"
        except sigv4.SignatureError as error:
            status, code, message, fields = 403, error.code, error.message, error.fields
        elements = {"Code": code, "Message": message, **fields}
        body = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in elements.items())
        return status, f"<?xml version='1.0' encoding='UTF-8'?>\n<Error>{body}</Error>".encode()


@contextmanager
def server(way):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            path, _, query = self.path.partition("?")
            headers = tuple((name.lower().encode(), value.strip().encode()) for name, value in self.headers.items())
            status, body = way.judge(Request("GET", path.encode(), query.encode(), headers))
            self.send_response_only(status)
            self.send_header("Date", format_datetime(datetime.now(UTC) + way.clock, usegmt=True))
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    listening = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listening.daemon_threads = True
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.server_port}"
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()


def findings(way, path="", **changes):
    with server(way) as url:
        options = {"region": "us-east-1", "access_key_id": KEY, "secret": SECRET, **changes}
        return list(doctor.diagnose(doctor.target_of(url + path, **options)))


def failures(way, path="", **changes):
    return [finding.text for finding in findings(way, path, **changes) if finding.level == "FAIL"]


def test_healthy_server():
    found = findings(Way())
    assert [finding for finding in found if finding.level == "FAIL"] == []
    text = "\n".join(finding.text for finding in found)
    for word in (
        "clock",
        "region",
        "Authorization header",
        "presigned URL",
        "path with escapes",
        "query",
        "addressing",
    ):
        assert word in text


def test_wrong_secret_is_named_because_nothing_else_differs():
    (failure,) = failures(Way(secret="other-secret"))
    assert "the secret access key is wrong" in failure


def test_unknown_access_key():
    (failure,) = failures(Way(), access_key_id="NOBODY")
    assert "does not know this access key id" in failure


def test_wrong_region_is_read_from_the_answer_and_the_rest_is_still_judged():
    (failure,) = failures(Way(region="eu-central-1"))
    assert "the server wants 'eu-central-1', you sign for 'us-east-1'" in failure


def test_proxy_that_rewrites_the_host():
    (failure,) = failures(Way(host="internal:9000"))
    assert "rewrites the Host header" in failure
    assert "'host:internal:9000'" in failure


def test_proxy_that_strips_a_prefix():
    (failure,) = failures(Way(strip_prefix="/storage/v1/s3"), "/storage/v1/s3")
    assert "strips a prefix" in failure


def test_proxy_that_normalises_the_path():
    (failure,) = failures(Way(normalise=True))
    assert "rewrites the path" in failure


def test_header_added_on_the_way():
    found = failures(Way(add_header=("x-amz-cf-id", "1")))
    assert "x-amz-cf-id" in found[0]


@pytest.mark.parametrize("hours", [-1, 1])
def test_clock(hours):
    found = failures(Way(clock=timedelta(hours=hours)))
    assert re.match(rf"clock: the server's is 3(599|600|601) s {'ahead' if hours > 0 else 'behind'}; ", found[0])


@pytest.mark.parametrize(
    "answer", [(404, b"<html>not here</html>"), (502, b""), (400, b"<!DOCTYPE x [<!ENTITY a 'b'>]><Error>&a;</Error>")]
)
def test_something_that_is_no_s3_server(answer):
    assert "is this an S3 server" in failures(Way(answer=answer))[0]


def test_hostile_answer_reaches_no_terminal():
    body = b"<Error><Code>InvalidRequest</Code><Message>a\xc2\x9b31m\nb</Message></Error>"
    (failure,) = failures(Way(answer=(400, body)))
    assert failure.isprintable()


def test_nobody_listens():
    target = doctor.target_of("http://127.0.0.1:1", region="r", access_key_id="a", secret="b")
    (finding,) = doctor.diagnose(target)
    assert finding.level == "FAIL"
    assert "connection to 127.0.0.1:1" in finding.text


@pytest.mark.parametrize("url", ["ftp://a", "http://", "http://a?b", "http://u:p@a"])
def test_no_url_of_a_server(url):
    with pytest.raises(ValueError, match="is not the URL of a server"):
        doctor.target_of(url, region="r", access_key_id="a", secret="b")


def test_command_prints_a_line_a_finding_and_exits_by_the_outcome(capsys, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("ROWLOCK_SECRET_ACCESS_KEY", SECRET)
    for name in ("ROWLOCK_ACCESS_KEY_ID", "ROWLOCK_REGION", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    with server(Way()) as url:
        doctor.doctor(url)
    out = capsys.readouterr().out
    assert SECRET not in out
    assert all(line.startswith(("ok ", "note")) for line in out.splitlines())
    with server(Way(secret="other-secret")) as url, pytest.raises(SystemExit) as stop:
        doctor.doctor(url)
    assert stop.value.code == 1
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(SystemExit) as stop:
        doctor.doctor("http://127.0.0.1:1")
    assert stop.value.code == 2
