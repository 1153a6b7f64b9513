"""A proxy that sends files itself (X-Accel-Redirect), with the nginx configuration of docs/cdn.md."""

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conformance.rest.client import Api
from conformance.rest.conftest import PROXY_ADDRESS
from conformance.rest.test_redirects import get
from conformance.server import REPOSITORY, RunningServer

CONTENT = bytes(range(256)) * 2048
NGINX = shutil.which("nginx") or "/usr/sbin/nginx"

_MAIN = """
{user}
worker_processes 1;
daemon off;
pid {directory}/nginx.pid;
error_log {directory}/error.log warn;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    {server}
}}
"""


@pytest.fixture(scope="session")
def proxy(handing: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """nginx before the server; its port."""
    if not Path(NGINX).exists():
        pytest.skip("there is no nginx")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    directory = tmp_path_factory.mktemp("nginx")
    documented = re.search(r"```nginx\n(.*?)```", (REPOSITORY / "docs/cdn.md").read_text(), re.DOTALL)
    assert documented is not None
    server = (
        documented.group(1)
        .replace("listen 80;", f"listen 127.0.0.1:{port};")
        .replace("127.0.0.1:9000", f"127.0.0.1:{handing.port}")
        .replace("/var/lib/rowlock/", f"{handing.environment()['ROWLOCK_DATA_DIR']}/")
        .replace("location / {", f"location / {{\n        proxy_bind {PROXY_ADDRESS};")
    )
    # what it sends belongs to the user of the server it stands before
    user = "user root;" if os.geteuid() == 0 else ""
    (directory / "nginx.conf").write_text(_MAIN.format(user=user, directory=directory, server=server))
    process = subprocess.Popen([NGINX, "-p", str(directory), "-c", str(directory / "nginx.conf"), "-e", "stderr"])
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            break
        except OSError:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
    yield port
    process.terminate()
    process.wait(10)


@pytest.fixture(scope="session")
def bucket(handing_service: Api) -> str:
    """A public bucket in files."""
    handing_service.make_bucket("in-files", public=True)
    uploaded = handing_service.upload("in-files", "a b", CONTENT, content_type="image/png", cache_control="max-age=60")
    assert uploaded.status == 200
    return "in-files"


def by_proxy(handing_service: Api, port: int) -> Api:
    return Api("127.0.0.1", port, handing_service.token)


def test_the_proxy_sends_the_file_with_our_headers(handing_service: Api, proxy: int, bucket: str) -> None:
    path = f"/object/public/{bucket}/a%20b?download=x.png"
    here = handing_service.request("GET", path)
    there = by_proxy(handing_service, proxy).request("GET", path)
    assert (here.status, here.body, "x-accel-redirect" in here.headers) == (200, CONTENT, False)
    assert (there.status, there.body, "x-accel-redirect" in there.headers) == (200, CONTENT, False)
    assert there.headers["x-sent-by"] == "the proxy"
    assert "x-sent-by" not in here.headers
    names = (
        "content-type", "content-length", "content-disposition", "cache-control", "etag", "last-modified",
        "accept-ranges", "x-robots-tag", "x-content-type-options", "content-security-policy", "surrogate-key",
    )  # fmt: skip
    assert {name: there.headers.get(name) for name in names} == {name: here.headers.get(name) for name in names}


def test_ranges_by_the_proxy(handing_service: Api, proxy: int, bucket: str) -> None:
    caller = by_proxy(handing_service, proxy)
    path = f"/object/public/{bucket}/a%20b"
    answer = caller.request("GET", path, headers={"range": "bytes=100-299"})
    assert (answer.status, answer.body) == (206, CONTENT[100:300])
    assert answer.headers["content-range"] == f"bytes 100-299/{len(CONTENT)}"
    assert answer.headers["x-sent-by"] == "the proxy"
    assert caller.request("GET", path, headers={"range": "bytes=9999999-"}).status == 416
    several = caller.request("GET", path, headers={"range": "bytes=0-1,5-6"})
    assert (several.status, several.body, "x-sent-by" in several.headers) == (200, CONTENT, False)


def test_conditions_are_ours(handing_service: Api, proxy: int, bucket: str) -> None:
    caller = by_proxy(handing_service, proxy)
    path = f"/object/public/{bucket}/a%20b"
    etag = caller.request("HEAD", path).headers["etag"]
    assert caller.request("GET", path, headers={"if-none-match": etag}).status == 304
    for headers in ({"if-match": etag}, {"if-none-match": '"other"'}, {"if-range": etag, "range": "bytes=0-1"}):
        answer = caller.request("GET", path, headers=headers)
        assert (answer.status, "x-sent-by" in answer.headers) == (206 if "range" in headers else 200, False)
    assert caller.request("GET", path, headers={"if-match": '"other"'}).status == 412


def test_S3_reads_by_the_proxy(handing_s3: Any, handing: RunningServer, proxy: int, bucket: str) -> None:
    handing_s3.put_object(Bucket=bucket, Key="described", Body=CONTENT, Metadata={"colour": "red"})
    handing_s3.put_object(Bucket=bucket, Key="sealed", Body=CONTENT, ServerSideEncryption="AES256")
    for key, sent in (("a b", True), ("described", False), ("sealed", False)):
        url = handing_s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key})
        direct = get(url)
        through = get(url.replace(str(handing.port), str(proxy)), {"host": f"127.0.0.1:{handing.port}"})
        assert (through.status, through.body, "x-sent-by" in through.headers) == (200, CONTENT, sent), key
        assert direct.body == CONTENT
        for name in ("etag", "content-type", "last-modified", "x-amz-meta-colour"):
            assert through.headers.get(name) == direct.headers.get(name)


def test_files_are_reached_by_nobody_else(handing_service: Api, proxy: int, bucket: str) -> None:
    assert get(f"http://127.0.0.1:{proxy}/rowlock-files/first-access-key.json").status == 404
    assert handing_service.by(None).request("GET", f"/object/authenticated/{bucket}/a%20b").status == 400
