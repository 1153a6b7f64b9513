"""What the kernel saw of one acknowledged PUT: bytes, fsync, name, fsync, COMMIT, and only then the 200."""

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.faults.server import Server

pytestmark = [pytest.mark.faults, pytest.mark.slow]

BODY = bytes(range(256)) * 400


@pytest.fixture
def trace(tmp_path: Path) -> list[str]:
    """Completed system calls of a worker during one PUT of 100 KB, in the order they ended."""
    strace = shutil.which("strace")
    if sys.platform != "linux" or strace is None:
        pytest.skip("needs strace")
    with Server(ROWLOCK_WORKERS="1", ROWLOCK_SWEEP_INTERVAL_SECONDS="60") as server:
        client = server.client()
        client.create_bucket(Bucket="order")
        client.put_object(Bucket="order", Key="warm", Body=BODY)
        [worker] = server.workers()
        path = tmp_path / "trace"
        tracer = subprocess.Popen(
            [strace, "-f", "-y", "-s", "4096", "-o", str(path), "-p", str(worker), "-e",
             "trace=write,pwrite64,writev,fsync,fdatasync,link,linkat,rename,renameat,renameat2,sendto,sendmsg,recvfrom,io_uring_enter"],
            stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        try:
            assert tracer.stderr is not None
            line = tracer.stderr.readline()
            if "attached" not in line:
                pytest.skip(f"tracing is not permitted: {line.strip()}")
            time.sleep(0.3)
            client.put_object(Bucket="order", Key="traced", Body=BODY)
            time.sleep(0.3)
        finally:
            tracer.terminate()
            tracer.wait(10)
            tracer.stderr.close()  # type: ignore[union-attr]
    return _completed(path.read_text("utf-8", "replace").splitlines())


def _completed(lines: list[str]) -> list[str]:
    """Calls with their results; what another thread interrupted is put together where it ended."""
    begun: dict[str, str] = {}
    calls = []
    for line in lines:
        pid, _, rest = line.partition(" ")
        rest = rest.strip()
        if rest.endswith("<unfinished ...>"):
            begun[pid] = rest.removesuffix("<unfinished ...>")
        elif resumed := re.match(r"<\.\.\. \w+ resumed>(.*)", rest):
            calls.append(begun.pop(pid, "") + resumed.group(1))
        else:
            calls.append(rest)
    return calls


def test_put_is_answered_after_every_step_that_makes_it_durable(trace: list[str]) -> None:
    def first(pattern: str, after: int = 0) -> int:
        for index, call in enumerate(trace[after:], after):
            if re.search(pattern, call):
                return index
        raise AssertionError(f"no {pattern} after call {after}:\n" + "\n".join(call[:160] for call in trace))

    linked = first(r"^link(at)?\(.*/proc/self/fd/|^linkat\(|^renameat2?\(")
    blob = re.search(r'"([0-9a-f]{32})"', trace[linked])
    assert blob is not None, trace[linked]
    written = [index for index, call in enumerate(trace) if re.match(r"p?write(64|v)?\(\d+<[^>]*/blobs/", call)]
    synchronised = first(r"^f(data)?sync\(\d+<[^>]*/blobs/[^>]*(deleted|#\d+|tmp/)")
    directory = first(r"^fsync\(\d+<[^>]*/blobs/[0-9a-f]{8}/[0-9a-f]{2}>\)", linked)
    commit = first(
        r"^(sendto|write|sendmsg)\(.*rowlock\.put_object\(|^(sendto|write|sendmsg)\(.*" + blob.group(1), linked
    )
    answered = first(r"^(sendto|write|writev|sendmsg)\(.*HTTP/1\.1 200")
    assert written
    assert max(index for index in written if index < linked) < synchronised < linked < directory < commit < answered
    heard = first(r"^recvfrom\(.*|^(read|recvmsg)\(", commit)
    assert heard < answered
    for call in (trace[synchronised], trace[linked], trace[directory]):
        assert re.search(r"= 0$", call), call
