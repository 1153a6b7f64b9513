"""The back end of the example: it holds the keys, signs uploads, and looks before it confirms. Standard library only.

The page never sees a key, and no byte of a picture comes through here: browsers send them to Rowlock by what is signed.
"""

import argparse
import base64
import hashlib
import hmac
import http.client
import json
import os
import re
import secrets
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

PAGES: Final = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/app.js": ("app.js", "text/javascript; charset=utf-8"),
    "/style.css": ("style.css", "text/css; charset=utf-8"),
}
HERE: Final = Path(__file__).resolve().parent
BUCKET: Final = "avatars"
MAX_BYTES: Final = 1_000_000
WAIT_SECONDS: Final = 600
KEY: Final = re.compile(r"[0-9a-f]{32}")
UPLOAD_ID: Final = re.compile(r"[0-9a-f-]{36}")


class Refused(Exception):
    """What this server or Rowlock will not do."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Rowlock:
    """The few calls this back end makes, with the service key and with an access key."""

    def __init__(self, url: str, service_key: str, access_key_id: str, secret_access_key: str, region: str) -> None:
        self.url = url.rstrip("/")
        self._service_key = service_key
        self._access_key_id = access_key_id
        self._secret_access_key = secret_access_key
        self._region = region

    def call(self, method: str, path: str, document: Any = None) -> Any:
        """One request to the JSON API. Raises Refused."""
        place = urlsplit(self.url)
        kind = http.client.HTTPSConnection if place.scheme == "https" else http.client.HTTPConnection
        body = None if document is None else json.dumps(document)
        headers = {"Authorization": f"Bearer {self._service_key}", "Content-Type": "application/json"}
        with closing(kind(place.netloc, timeout=10)) as connection:
            connection.request(method, f"/storage/v1{path}", body, headers)
            answer = connection.getresponse()
            told = json.loads(answer.read())
        if answer.status != 200:
            raise Refused(int(told["statusCode"]), told["message"])
        return told

    def form(self, key: str, username: str) -> dict[str, str]:
        """The fields of a form by which a browser may post one picture
        (https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTConstructPolicy.html)."""
        now = datetime.now(UTC)
        scope = f"{now:%Y%m%d}/{self._region}/s3/aws4_request"
        fields = {
            "key": key,
            "x-amz-meta-username": username,
            "x-amz-algorithm": "AWS4-HMAC-SHA256",
            "x-amz-credential": f"{self._access_key_id}/{scope}",
            "x-amz-date": f"{now:%Y%m%dT%H%M%SZ}",
        }
        conditions = [
            {"bucket": BUCKET},
            ["content-length-range", 1, MAX_BYTES],
            ["starts-with", "$Content-Type", "image/"],
            *(["eq", f"${name}", value] for name, value in fields.items()),
        ]
        expiration = f"{now + timedelta(seconds=WAIT_SECONDS):%Y-%m-%dT%H:%M:%SZ}"
        policy = base64.b64encode(json.dumps({"expiration": expiration, "conditions": conditions}).encode())
        signing_key = f"AWS4{self._secret_access_key}".encode()
        for word in scope.split("/"):
            signing_key = hmac.digest(signing_key, word.encode(), "sha256")
        signature = hmac.new(signing_key, policy, hashlib.sha256).hexdigest()
        return {**fields, "policy": policy.decode(), "x-amz-signature": signature}


def native_sign(rowlock: Rowlock, asked: dict[str, str]) -> Any:
    """Phase 1: a URL that takes one upload, whose bytes wait to be confirmed."""
    key = secrets.token_hex(16)
    path = f"/object/upload/sign/{BUCKET}/{key}"
    signed = rowlock.call("POST", path, {"confirm": True, "expiresIn": WAIT_SECONDS})
    return {
        "key": key,
        "id": signed["id"],
        "url": f"{rowlock.url}/storage/v1{signed['url']}",
        "expires_at": signed["expires_at"],
    }


def native_confirm(rowlock: Rowlock, asked: dict[str, str]) -> Any:
    """Phase 3: look at what came, then make it live. Phase 2 was between the browser and Rowlock."""
    key, upload_id = wanted(asked, "key", KEY), wanted(asked, "id", UPLOAD_ID)
    waiting = f"/object/upload/pending/{BUCKET}/{key}?id={upload_id}"
    found = rowlock.call("GET", waiting)
    if not found["content_type"].startswith("image/") or found["size"] > MAX_BYTES:
        rowlock.call("DELETE", waiting)
        raise Refused(422, f"{found['content_type']} of {found['size']} bytes is no avatar")
    return rowlock.call("POST", f"/object/upload/confirm/{BUCKET}/{key}", {"id": upload_id})


def native_cancel(rowlock: Rowlock, asked: dict[str, str]) -> Any:
    """Instead of phase 3; without it the bytes would disappear a little later."""
    key, upload_id = wanted(asked, "key", KEY), wanted(asked, "id", UPLOAD_ID)
    return rowlock.call("DELETE", f"/object/upload/pending/{BUCKET}/{key}?id={upload_id}")


def classic_sign(rowlock: Rowlock, asked: dict[str, str]) -> Any:
    """Phase 1 as it is done with any S3: a form for a key under pending/."""
    key = secrets.token_hex(16)
    return {"key": key, "url": f"{rowlock.url}/{BUCKET}", "fields": rowlock.form(f"pending/{key}", "alice")}


def classic_confirm(rowlock: Rowlock, asked: dict[str, str]) -> Any:
    """Phase 3: give the object its name, before the lifecycle rule of pending/ removes it. The bytes stay where they
    are; with another S3 this would be CopyObject and DeleteObject."""
    key = wanted(asked, "key", KEY)
    move = {"bucketId": BUCKET, "sourceKey": f"pending/{key}", "destinationKey": key}
    return rowlock.call("POST", "/object/move", move)


def avatars(rowlock: Rowlock, asked: dict[str, str]) -> Any:
    """What is live, newest first, each with a URL to show it by."""
    order = {"column": "created_at", "order": "desc"}
    found = rowlock.call("POST", f"/object/list/{BUCKET}", {"prefix": "", "limit": 24, "sortBy": order})
    names = [entry["name"] for entry in found if entry["id"] is not None]
    if not names:
        return []
    signed = rowlock.call("POST", f"/object/sign/{BUCKET}", {"expiresIn": 3600, "paths": names})
    return [
        {"name": entry["path"], "url": f"{rowlock.url}/storage/v1{entry['signedURL']}"}
        for entry in signed
        if entry["signedURL"]
    ]


ACTIONS: Final[dict[str, Callable[[Rowlock, dict[str, str]], Any]]] = {
    "/avatars": avatars,
    "/native/sign": native_sign,
    "/native/confirm": native_confirm,
    "/native/cancel": native_cancel,
    "/classic/sign": classic_sign,
    "/classic/confirm": classic_confirm,
}


def wanted(asked: dict[str, str], name: str, form: re.Pattern[str]) -> str:
    """A member of a request, which becomes part of a path. Raises Refused."""
    value = asked.get(name)
    if not isinstance(value, str) or not form.fullmatch(value):
        raise Refused(400, f"{name} is not what was signed")
    return value


class Handler(BaseHTTPRequestHandler):
    """The page, and what it asks."""

    rowlock: Rowlock
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        page = PAGES.get(self.path)
        if page is None:
            self._answer(404, b"not found", "text/plain")
        else:
            self._answer(200, (HERE / page[0]).read_bytes(), page[1])

    def do_POST(self) -> None:
        try:
            asked = json.loads(self.rfile.read(min(int(self.headers.get("Content-Length", 0)), 10_000)) or b"{}")
            action = ACTIONS.get(self.path)
            if action is None or not isinstance(asked, dict):
                raise Refused(404, "no such action")
            status, told = 200, action(self.rowlock, asked)
        except Refused as refused:
            status, told = refused.status, {"message": str(refused)}
        except ValueError:
            status, told = 400, {"message": "no JSON"}
        self._answer(status, json.dumps(told).encode(), "application/json")

    def _answer(self, status: int, content: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Keep the terminal quiet."""


def main() -> None:
    """Serve until Ctrl-C. The keys come from the environment."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--rowlock", default="http://127.0.0.1:9000", help="where Rowlock is (http://127.0.0.1:9000)")
    asked = parser.parse_args()
    try:
        keys = [os.environ[name] for name in ("SERVICE_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")]
    except KeyError as error:
        raise SystemExit(f"{error.args[0]} is not set: see README.md") from None
    Handler.rowlock = Rowlock(asked.rowlock, *keys, os.environ.get("AWS_REGION", "us-east-1"))
    server = ThreadingHTTPServer(("127.0.0.1", asked.port), Handler)
    print(f"http://127.0.0.1:{server.server_port}/", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()


if __name__ == "__main__":
    main()
