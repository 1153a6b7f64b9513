"""What stands beside a server of this suite: a CDN's purge endpoint, and an S3 store that can be switched off."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Stub:
    """One HTTP server for both. ``is_up`` decides what the store answers."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        self.keys: set[str | None] = set()
        self.is_up = True
        self.takes_purges = True
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self.answer(200 if stub.is_up else 503)

            def do_POST(self) -> None:
                document = json.loads(self.rfile.read(int(self.headers["content-length"])))
                if stub.takes_purges and self.path == "/cdn/purge":
                    stub.keys.add(self.headers["authorization"])
                    stub.told.append(document)
                self.answer(200 if stub.takes_purges else 500)

            def answer(self, status: int) -> None:
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()

    def was_told(self, kind: str, bucket: str | None = None, key: str | None = None, seconds: float = 15) -> bool:
        """Whether it is told to forget this before so many seconds are over."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if any(
                (each["type"], each.get("bucketId"), each.get("objectName")) == (kind, bucket, key)
                for each in self.told
            ):
                return True
            time.sleep(0.05)
        return False
