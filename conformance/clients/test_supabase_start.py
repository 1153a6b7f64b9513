"""A server that was told nothing but storage-api's settings: what it prints is what supabase-js is given, the pages'
snippets run as they are written, and S3 under every path Supabase has it."""

import json
import re
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config

from conformance import server
from conformance.clients.conftest import report_missing
from conformance.clients.test_supabase_js import NODE, PACKAGES
from conformance.rest.client import Api
from conformance.server import ACCESS_KEY_ID, REPOSITORY, SECRET_ACCESS_KEY, RunningServer
from conformance.tools import find_node_packages

PREFIX: Final = "/storage/v1"


@dataclass(frozen=True, slots=True)
class Started:
    """The server, its second port, and what it printed at its start."""

    running: RunningServer
    rest_port: int
    printed: str

    def key(self, name: str) -> str:
        """A key as the banner shows it."""
        found = re.search(rf"\b{name}\b\D*?(eyJ[\w-]+\.[\w-]+\.[\w-]+)", self.printed)
        assert found is not None, self.printed
        return found.group(1)


@pytest.fixture(scope="module")
def started() -> Iterator[Started]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {
        "STORAGE_BACKEND": "file",
        "SERVER_PORT": str(port),
        "S3_PROTOCOL_PREFIX": PREFIX,
        "WEBHOOK_URL": "http://127.0.0.1:1/",
        "FILE_SIZE_LIMIT": "1000000",
    }
    running = server.start(settings=settings)
    try:
        yield Started(running, port, running.log.read_text("utf-8"))
    finally:
        server.stop(running)


@pytest.fixture(scope="module")
def example(started: Started) -> Any:
    """The bucket of the pages, and a client that made it."""
    client = client_at(f"http://127.0.0.1:{started.running.port}")
    client.create_bucket(Bucket="example")
    return client


def client_at(url: str) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=url,
        aws_access_key_id=ACCESS_KEY_ID,
        aws_secret_access_key=SECRET_ACCESS_KEY,
        region_name="us-east-1",
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}, retries={"max_attempts": 1}),
    )


def snippet(page: str, containing: str) -> str:
    """The JavaScript of a page that has this in it."""
    blocks = re.findall(r"```js\n(.*?)```", (REPOSITORY / page).read_text("utf-8"), re.DOTALL)
    [found] = [block for block in blocks if containing in block]
    return str(found)


def run(request: pytest.FixtureRequest, directory: Path, started: Started, module: str, code: str) -> None:
    """Code of a page in Node, with the names it takes for granted, against this server's port."""
    modules = find_node_packages(*PACKAGES)
    if modules is None:
        report_missing(request, ", ".join(PACKAGES))
    code = code.replace("http://127.0.0.1:9000", f"http://127.0.0.1:{started.running.port}")
    code = re.sub(r"import \{ (\w+) \} from '([^']+)'", r"const { \1 } = require('\2')", code)
    names = f"const [SERVICE_KEY, ANON_KEY] = {json.dumps([started.key('service_role'), started.key('anon')])}\n"
    names += f"const key = SERVICE_KEY, file = new Blob(['png'], {{ type: 'image/png' }})\n{module}\n"
    program = directory / "page.cjs"
    program.write_text(f"{names};(async () => {{\n{code}\n}})()", "utf-8")
    done = subprocess.run(
        [*NODE, "--unhandled-rejections=strict", str(program)],
        env={"NODE_PATH": str(modules), "PATH": "/usr/local/bin:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_snippet_of_the_README(
    request: pytest.FixtureRequest, tmp_path: Path, started: Started, example: Any
) -> None:
    code = snippet("README.md", "createClient")
    run(request, tmp_path, started, "const { createClient } = require('@supabase/supabase-js')", code)
    assert example.get_object(Bucket="example", Key="hello.txt")["Body"].read() == b"hello"


def test_the_snippet_of_the_page(
    request: pytest.FixtureRequest, tmp_path: Path, started: Started, example: Any
) -> None:
    run(request, tmp_path, started, "", snippet("docs/json-api.md", "StorageClient"))
    assert example.head_object(Bucket="avatars", Key="me.png")["ContentType"] == "image/png"


def test_the_printed_anon_key_is_anon(started: Started, example: Any) -> None:
    answer = Api("127.0.0.1", started.rest_port, started.key("anon"), prefix="").send("GET", "/bucket")
    assert (answer.status, answer.json) == (200, [])


def test_the_keys_are_printed_at_the_first_start_only_with_what_is_ignored(started: Started) -> None:
    lines = [json.loads(line) for line in started.printed.splitlines() if '"settings_ignored"' in line]
    assert [line["names"] for line in lines] == [["WEBHOOK_URL"]]
    assert started.printed.count(" key eyJ") == 2


def test_config_says_where_each_value_came_from(started: Started) -> None:
    table = json.loads(started.running.run("config", "--json").stdout)
    sources = {line["variable"]: line["source"] for line in table}
    assert sources["ROWLOCK_REST_PORT"] == "environment (SERVER_PORT)"
    assert sources["ROWLOCK_S3_SIGNED_PREFIX"] == "environment (S3_PROTOCOL_PREFIX)"
    assert sources["ROWLOCK_MAX_OBJECT_BYTES"] == "environment (FILE_SIZE_LIMIT)"
    assert (sources["ROWLOCK_REGION"], sources["ROWLOCK_JWT_SECRET"]) == ("environment", "default")


@pytest.mark.parametrize("where", ["port", "own port", "behind a proxy"])
def test_S3_under_the_JSON_API(started: Started, example: Any, where: str) -> None:
    port = started.running.port if where == "port" else started.rest_port
    client = client_at(f"http://127.0.0.1:{port}{PREFIX}/s3")
    stripped = where == "behind a proxy"
    if stripped:
        # what Kong does: the prefix has been signed, and does not arrive
        client.meta.events.register("before-send.s3.*", strip_prefix)
    key = f"{where}/ü +%"
    client.put_object(Bucket="example", Key=key, Body=b"content")
    assert client.get_object(Bucket="example", Key=key)["Body"].read() == b"content"
    assert key in [entry["Key"] for entry in client.list_objects_v2(Bucket="example")["Contents"]]
    upload = client.create_multipart_upload(Bucket="example", Key="parts")["UploadId"]
    part = client.upload_part(Bucket="example", Key="parts", UploadId=upload, PartNumber=1, Body=b"part")
    client.complete_multipart_upload(
        Bucket="example",
        Key="parts",
        UploadId=upload,
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]},
    )
    url = client.generate_presigned_url("get_object", Params={"Bucket": "example", "Key": key}, ExpiresIn=60)
    with urllib.request.urlopen(url.replace(PREFIX, "", 1) if stripped else url, timeout=10) as answer:  # noqa: S310
        assert answer.read() == b"content"


def strip_prefix(request: Any, **_: Any) -> None:
    parts = urlsplit(request.url)
    assert parts.path.startswith(PREFIX)
    request.url = request.url.replace(PREFIX, "", 1)
