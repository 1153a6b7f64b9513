"""A real browser: pages of other origins at both doors, supabase-js in a page, and the example of confirmed uploads."""

import contextlib
import http.server
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from conformance.clients.conftest import PROGRAMS, report_missing
from conformance.expect import keys_of
from conformance.install_clients import BROWSERS
from conformance.rest import tokens
from conformance.rest.client import Api
from conformance.server import ACCESS_KEY_ID, SECRET_ACCESS_KEY, shared_server
from conformance.tools import REPOSITORY, find_node_packages, find_program

PACKAGES: Final = ("playwright-core", "@supabase/supabase-js")
TIMEOUT_SECONDS: Final = 120.0
DAY_SECONDS: Final = 2.0
AVATARS, BUCKET = "avatars", "pages"
SCENARIOS: Final = (
    "example_native",
    "example_native_cancelled",
    "example_native_of_a_type_the_bucket_does_not_take",
    "example_classic",
    "example_classic_beyond_its_policy",
    "example_classic_never_confirmed",
    "json_api_requests_with_preflight",
    "json_api_takes_no_cookies",
    "json_api_upload_shows_progress",
    "json_api_refuses_another_origin",
    "supabase_js",
    "supabase_js_uploads_what_is_to_be_confirmed",
    "s3_presigned_put_and_get",
    "s3_refuses_another_origin_and_method",
)


@pytest.fixture(autouse=True)
def _installed(request: pytest.FixtureRequest) -> None:
    if find_node_packages(*PACKAGES) is None:
        report_missing(request, ", ".join(PACKAGES))
    if _browser() is None:
        report_missing(request, "chromium")


def _browser() -> str | None:
    return next((str(path) for name in BROWSERS if (path := find_program(name)) is not None), None)


@pytest.fixture(scope="module")
def ended(run_directory: Path) -> Iterator[tuple[Mapping[str, str | None], Any]]:
    """What became of each scenario, and an S3 client of the server they were played against."""
    if find_node_packages(*PACKAGES) is None or _browser() is None:
        yield {}, None
        return
    example_port, page_port = _free_port(), _free_port()
    settings = {
        "ROWLOCK_JWT_SECRET": tokens.SECRET,
        "ROWLOCK_REST_CORS_ORIGINS": f"http://127.0.0.1:{example_port},http://127.0.0.1:{page_port}",
        "ROWLOCK_LIFECYCLE_DAY_SECONDS": str(DAY_SECONDS),
        "ROWLOCK_SWEEP_INTERVAL_SECONDS": "0.5",
        "ROWLOCK_WORKERS": "1",
    }
    with (
        shared_server(run_directory, "browser", settings=settings) as server,
        contextlib.closing(server.target.client()) as s3,
        _example(example_port, server.target.endpoint_url),
        _pages(page_port),
    ):
        api = Api("127.0.0.1", server.port, tokens.mint({"role": "service_role"}))
        api.make_bucket(AVATARS, file_size_limit="1mb", allowed_mime_types=["image/*"])
        api.make_bucket(BUCKET)
        _configure(s3, [f"http://127.0.0.1:{example_port}", f"http://127.0.0.1:{page_port}"])
        given = {
            "chromium": _browser(),
            "gateway": server.target.endpoint_url,
            "example": f"http://127.0.0.1:{example_port}/",
            "page": f"http://127.0.0.1:{page_port}/",
            "stranger": f"http://localhost:{page_port}/",
            "serviceKey": api.token,
            "bucket": BUCKET,
            "s3": {
                "put": _presigned(s3, "put_object", ContentType="text/plain"),
                "get": _presigned(s3, "get_object"),
                "remove": _presigned(s3, "delete_object"),
                "form": s3.generate_presigned_post(BUCKET, "posted.txt"),
            },
        }
        done = subprocess.run(
            ["node", str(PROGRAMS / "browser.cjs"), json.dumps(given)],
            env=os.environ | {"NODE_PATH": str(find_node_packages(*PACKAGES))},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        yield json.loads(done.stdout), s3


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_browser(ended: tuple[Mapping[str, str | None], Any], scenario: str) -> None:
    ends, _ = ended
    assert set(ends) == set(SCENARIOS)
    assert ends[scenario] is None, ends[scenario]


def test_browser_classic_upload_nobody_confirmed_expires(ended: tuple[Mapping[str, str | None], Any]) -> None:
    """Two of the three forms were confirmed or refused; the third leaves ``pending/`` by the lifecycle rule."""
    _, s3 = ended
    deadline = time.monotonic() + 10 * DAY_SECONDS
    while any(key.startswith("pending/") for key in keys_of(s3, AVATARS)):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert len(keys_of(s3, AVATARS)) == 2


def _configure(s3: Any, origins: list[str]) -> None:
    """What the example's README does, and a rule for the pages."""
    cors = {
        "AllowedOrigins": origins,
        "AllowedMethods": ["GET", "PUT", "POST"],
        "ExposeHeaders": ["ETag", "Content-Range"],
    }
    for bucket in (AVATARS, BUCKET):
        rules = [cors | {"AllowedHeaders": ["content-type", "range"]}]
        s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": rules})
    rule = {"ID": "unconfirmed", "Status": "Enabled", "Filter": {"Prefix": "pending/"}, "Expiration": {"Days": 1}}
    s3.put_bucket_lifecycle_configuration(Bucket=AVATARS, LifecycleConfiguration={"Rules": [rule]})


def _presigned(s3: Any, operation: str, **members: str) -> str:
    parameters = {"Bucket": BUCKET, "Key": "presigned.txt", **members}
    url: str = s3.generate_presigned_url(operation, Params=parameters)
    return url


@contextlib.contextmanager
def _example(port: int, rowlock_url: str) -> Iterator[None]:
    """The back end of the example, as its README starts it."""
    environment = os.environ | {
        "SERVICE_KEY": tokens.mint({"role": "service_role"}),
        "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
        "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
        "AWS_REGION": "us-east-1",
    }
    program = REPOSITORY / "examples" / "confirmed-upload" / "server.py"
    command = [sys.executable, str(program), "--port", str(port), "--rowlock", rowlock_url]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == f"http://127.0.0.1:{port}/\n"
        yield
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


@contextlib.contextmanager
def _pages(port: int) -> Iterator[None]:
    """An empty page, and supabase-js as it is published."""
    modules = find_node_packages(*PACKAGES)
    assert modules is not None
    script = (modules / "@supabase/supabase-js/dist/umd/supabase.js").read_bytes()

    class Pages(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content, kind = (
                (script, "text/javascript") if self.path == "/supabase.js" else (b"<!doctype html>", "text/html")
            )
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", port), Pages) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield
        server.shutdown()
        thread.join()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
