"""A mixed load of several clients with unique values, and the history of what they were told."""

import hashlib
import random
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import botocore.exceptions

from tests.faults.history import History, Kind

BUCKET: Final = "faults"
MARK: Final = "op"  # user metadata that names the write
KIB: Final = 1024
MIB: Final = 1024 * KIB
SIZES: Final = (0, 300, 3000, 100 * KIB, 100 * KIB, 2 * MIB)
PART_SIZES: Final = (5 * MIB, 300 * KIB)
_HEAD: Final = struct.Struct(">QI")


def body_of(number: int, size: int) -> bytes:
    """The bytes of a value: its number and length, then what nobody would produce by chance."""
    if size < _HEAD.size:
        return b""
    seed = hashlib.sha256(str(number).encode()).digest() * 32
    return (_HEAD.pack(number, size) + seed * (size // len(seed) + 1))[:size]


def is_whole(body: bytes) -> bool:
    """Whether these are exactly the bytes of one value."""
    return body == b"" or (len(body) >= _HEAD.size and body == body_of(*_HEAD.unpack_from(body)))


class Load:
    """``clients`` threads that work until :meth:`stop`. Errors of the server's own making are in ``faults``."""

    def __init__(self, client: Any, history: History, *, clients: int, seed: int, prefix: str, keys: int) -> None:
        self.history = history
        self.outcomes: Counter[str] = Counter()
        self.faults: list[str] = []
        self._client = client
        self._prefix = prefix
        self._keys = [f"{prefix}/{number:03}" for number in range(keys)]
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._seed = seed
        self._number = 0
        self._threads = [
            threading.Thread(target=self._work, args=(random.Random(f"{seed}/{prefix}/{index}"),), daemon=True)
            for index in range(clients)
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End when every running request has ended."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive(), "a request hangs"

    def read_all(self) -> None:
        """Every key once; for a server that is well."""
        for key in self._keys:
            self.get(key, patient=True)

    def get(self, key: str, *, patient: bool = False) -> None:
        """Read a key and compare every byte. A patient reader insists on an answer."""
        for _ in range(20 if patient else 1):
            start = time.monotonic()
            try:
                found = self._client.get_object(Bucket=BUCKET, Key=key)
                body = found["Body"].read()
            except botocore.exceptions.ClientError as error:
                code = self._note_error("get", error)
                if code == "NoSuchKey":
                    self.history.note(key, Kind.READ, None, start)
                    return
            except Exception as error:
                self._note_error("get", error)
            else:
                self.outcomes["get ok"] += 1
                if not is_whole(body) or len(body) != found["ContentLength"]:
                    self.faults.append(f"torn read of {key}: {len(body)} of {found['ContentLength']} bytes")
                self.history.note(key, Kind.READ, found["Metadata"].get(MARK, "?"), start)
                return
            time.sleep(0.5 if patient else 0)
        if patient:
            self.faults.append(f"no answer for {key}")

    def _work(self, chance: random.Random) -> None:
        doings: tuple[tuple[Callable[[random.Random, str], None], int], ...] = (
            (self._put, 30),
            (lambda _, key: self.get(key), 30),
            (self._delete, 8),
            (self._delete_many, 4),
            (self._copy, 10),
            (self._multipart, 6),
            (self._list, 6),
        )
        actions = [action for action, _ in doings]
        weights = [weight for _, weight in doings]
        while not self._stopping.is_set():
            [action] = chance.choices(actions, weights)
            action(chance, chance.choice(self._keys))

    def _next(self) -> tuple[int, str]:
        with self._lock:
            self._number += 1
            return self._number, f"{self._prefix}-{self._number}"

    def _write(self, name: str, key: str, mark: str, call: Callable[[], Any]) -> None:
        start = time.monotonic()
        try:
            call()
        except Exception as error:
            self._note_error(name, error)
            if not _is_refusal(error):
                self.history.note(key, Kind.WRITE, mark, start, known=False)
        else:
            self.outcomes[f"{name} ok"] += 1
            self.history.note(key, Kind.WRITE, mark, start)

    def _put(self, chance: random.Random, key: str) -> None:
        number, mark = self._next()
        body = body_of(number, chance.choice(SIZES))
        self._write(
            "put", key, mark, lambda: self._client.put_object(Bucket=BUCKET, Key=key, Body=body, Metadata={MARK: mark})
        )

    def _copy(self, chance: random.Random, key: str) -> None:
        _, mark = self._next()
        source = {"Bucket": BUCKET, "Key": chance.choice(self._keys)}
        self._write(
            "copy",
            key,
            mark,
            lambda: self._client.copy_object(
                Bucket=BUCKET, Key=key, CopySource=source, MetadataDirective="REPLACE", Metadata={MARK: mark}
            ),
        )

    def _multipart(self, chance: random.Random, key: str) -> None:
        number, mark = self._next()
        body = body_of(number, sum(PART_SIZES))
        try:
            upload = self._client.create_multipart_upload(Bucket=BUCKET, Key=key, Metadata={MARK: mark})["UploadId"]
            parts = []
            for part_number, size in enumerate(PART_SIZES, 1):
                first = sum(PART_SIZES[: part_number - 1])
                stored = self._client.upload_part(
                    Bucket=BUCKET, Key=key, UploadId=upload, PartNumber=part_number, Body=body[first : first + size]
                )
                parts.append({"PartNumber": part_number, "ETag": stored["ETag"]})
        except Exception as error:
            self._note_error("part", error)
            return
        if chance.random() < 0.2:
            with suppress(Exception):
                self._client.abort_multipart_upload(Bucket=BUCKET, Key=key, UploadId=upload)
            return
        self._write(
            "complete",
            key,
            mark,
            lambda: self._client.complete_multipart_upload(
                Bucket=BUCKET, Key=key, UploadId=upload, MultipartUpload={"Parts": parts}
            ),
        )

    def _delete(self, chance: random.Random, key: str) -> None:
        start = time.monotonic()
        try:
            self._client.delete_object(Bucket=BUCKET, Key=key)
        except Exception as error:
            self._note_error("delete", error)
            if not _is_refusal(error):
                self.history.note(key, Kind.DELETE, None, start, known=False)
        else:
            self.outcomes["delete ok"] += 1
            self.history.note(key, Kind.DELETE, None, start)

    def _delete_many(self, chance: random.Random, key: str) -> None:
        keys = chance.sample(self._keys, 3)
        start = time.monotonic()
        try:
            answer = self._client.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": name} for name in keys]})
        except Exception as error:
            self._note_error("delete many", error)
            if not _is_refusal(error):
                for name in keys:
                    self.history.note(name, Kind.DELETE, None, start, known=False)
            return
        self.outcomes["delete many ok"] += 1
        self.faults += [f"DeleteObjects: {error}" for error in answer.get("Errors", [])]
        for entry in answer.get("Deleted", []):
            self.history.note(entry["Key"], Kind.DELETE, None, start)

    def _list(self, chance: random.Random, key: str) -> None:
        start = time.monotonic()
        try:
            listed = self._client.list_objects_v2(Bucket=BUCKET, Prefix=f"{self._prefix}/")
        except Exception as error:
            self._note_error("list", error)
            return
        self.outcomes["list ok"] += 1
        present = {entry["Key"] for entry in listed.get("Contents", [])}
        for name in chance.sample(self._keys, 3):
            self.history.note(name, Kind.EXISTS, name in present, start)

    def _note_error(self, name: str, error: Exception) -> str:
        if isinstance(error, botocore.exceptions.ClientError):
            code = str(error.response["Error"]["Code"])
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            self.outcomes[f"{name} {code}"] += 1
            if status >= 500 and status != 503:
                self.faults.append(f"{name}: {status} {code}")
            return code
        self.outcomes[f"{name} {type(error).__name__}"] += 1
        time.sleep(0.05)  # there is no server, or none yet
        return ""


def _is_refusal(error: Exception) -> bool:
    """Whether the server said that it did not do it: any 4xx. A 503 may follow a write that happened."""
    if isinstance(error, botocore.exceptions.ClientError):
        return 400 <= int(error.response["ResponseMetadata"]["HTTPStatusCode"]) < 500
    return isinstance(error, botocore.exceptions.EndpointConnectionError)
