"""s5cmd: many operations at once."""

from collections.abc import Callable
from pathlib import Path

from conformance.clients.conftest import Command, files_of
from conformance.target import Target


def test_s5cmd_sync_cp_mv_rm(program: Callable[..., Command], target: Target, bucket: str, tree: Path) -> None:
    s5cmd = program("s5cmd", "--endpoint-url", target.endpoint_url, "--numworkers", "8", "--retry-count", "0")
    s5cmd("sync", f"{tree}/", f"s3://{bucket}/t/")
    assert s5cmd("sync", f"{tree}/", f"s3://{bucket}/t/").strip() == "", "a second sync has nothing to do"
    s5cmd("cp", f"s3://{bucket}/t/*", "down/")
    assert files_of(tree.parent / "down") == files_of(tree)
    s5cmd("mv", f"s3://{bucket}/t/plain.txt", f"s3://{bucket}/moved.txt")
    assert "moved.txt" in s5cmd("ls", f"s3://{bucket}/")
    s5cmd("rm", f"s3://{bucket}/*")
    s5cmd("ls", f"s3://{bucket}/*", status=1)
