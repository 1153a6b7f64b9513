"""rclone: a second sync moves nothing, modification times are kept, odd names survive."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conformance.clients.conftest import Command, files_of
from conformance.target import Target

MODIFIED = 1_600_000_000.25


@pytest.fixture(params=["Other", "Minio"])
def rclone(request: pytest.FixtureRequest, program: Callable[..., Command], target: Target) -> Command:
    """rclone with the remote ``r:``, by the providers people choose for servers like this.

    Not ``AWS``: over plain http rclone itself refuses to send what that provider's checksums need.
    """
    settings = {
        "RCLONE_CONFIG": os.devnull,
        "RCLONE_CONFIG_R_TYPE": "s3",
        "RCLONE_CONFIG_R_PROVIDER": request.param,
        "RCLONE_CONFIG_R_ENV_AUTH": "true",
        "RCLONE_CONFIG_R_ENDPOINT": target.endpoint_url,
        "RCLONE_CONFIG_R_REGION": target.region,
        "RCLONE_CONFIG_R_FORCE_PATH_STYLE": "true",
    }
    return program("rclone", "--retries=1", "--low-level-retries=1", "-v", **settings)


def test_rclone_sync_twice_and_check(rclone: Command, bucket: str, tree: Path, tmp_path: Path) -> None:
    for path in tree.rglob("*"):
        if path.is_file():
            os.utime(path, (MODIFIED, MODIFIED))
    assert rclone("sync", tree, f"r:{bucket}/t").count(": Copied") == len(files_of(tree))
    second = rclone("sync", tree, f"r:{bucket}/t")
    assert ": Copied" not in second
    assert ": Updated" not in second
    assert "0 differences found" in rclone("check", tree, f"r:{bucket}/t")
    rclone("sync", f"r:{bucket}/t", "down")
    assert files_of(tmp_path / "down") == files_of(tree)
    assert (tmp_path / "down/plain.txt").stat().st_mtime == MODIFIED


def test_rclone_changed_modification_time_is_a_copy_onto_itself(rclone: Command, bucket: str, tmp_path: Path) -> None:
    root = tmp_path / "one"
    root.mkdir()
    (root / "f").write_bytes(b"same")
    rclone("sync", root, f"r:{bucket}/one")
    os.utime(root / "f", (MODIFIED, MODIFIED))
    rclone("sync", root, f"r:{bucket}/one")
    rclone("sync", f"r:{bucket}/one", "down")
    assert (tmp_path / "down/f").stat().st_mtime == MODIFIED


def test_rclone_move_delete_and_multipart(rclone: Command, s3: Any, bucket: str, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(os.urandom(1024) * 12 * 1024)
    rclone("copyto", "--s3-upload-cutoff=6Mi", "--s3-chunk-size=5Mi", "f", f"r:{bucket}/f")
    assert s3.head_object(Bucket=bucket, Key="f")["ETag"].endswith('-3"')
    rclone("moveto", f"r:{bucket}/f", f"r:{bucket}/dir/g")
    assert {"dir/", "dir/g"} <= set(rclone("lsf", "-R", f"r:{bucket}").split())
    assert rclone("cat", f"r:{bucket}/dir/g", "--head=1")
    rclone("purge", f"r:{bucket}/dir")
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_rclone_names_with_odd_characters(rclone: Command, bucket: str, tmp_path: Path) -> None:
    root = tmp_path / "odd"
    root.mkdir()
    for name in [
        "a\nb",
        "quote'\"",
        "star*?",
        "back\\slash",
        " lead",
        "trail ",
        "x" * 200,
        "ü",
        "😀",
        "%2F",
    ]:
        (root / name).write_bytes(name.encode())
    rclone("sync", root, f"r:{bucket}/odd")
    rclone("sync", f"r:{bucket}/odd", "down")
    assert files_of(tmp_path / "down") == files_of(root)
