"""The AWS command line: the commands people type."""

import hashlib
import re
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conformance.clients.conftest import Command, files_of
from conformance.target import Target


@pytest.fixture
def aws(program: Callable[..., Command]) -> Command:
    """``aws s3 …``."""
    return program("aws", "s3")


def test_aws_mb_cp_ls_mv_rm_rb(aws: Command, s3: Any, fresh_name: Callable[[], str], tmp_path: Path) -> None:
    bucket = fresh_name()
    aws("mb", f"s3://{bucket}")
    (tmp_path / "file.txt").write_bytes(b"hello")
    aws("cp", "file.txt", f"s3://{bucket}/dir/file.txt")
    assert re.search(r" 5 file\.txt", aws("ls", f"s3://{bucket}/dir/"))
    assert "PRE dir/" in aws("ls", f"s3://{bucket}")
    aws("mv", f"s3://{bucket}/dir/file.txt", f"s3://{bucket}/moved.txt")
    aws("cp", f"s3://{bucket}/moved.txt", "back.txt")
    assert (tmp_path / "back.txt").read_bytes() == b"hello"
    aws("rm", f"s3://{bucket}/moved.txt")
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    aws("cp", "file.txt", f"s3://{bucket}/left/over.txt")
    aws("rb", f"s3://{bucket}", status=1)
    aws("rb", "--force", f"s3://{bucket}")
    assert bucket not in aws("ls")


def test_aws_sync_both_ways_and_again(aws: Command, bucket: str, tree: Path, tmp_path: Path) -> None:
    assert aws("sync", tree, f"s3://{bucket}/t").count("upload:") == len(files_of(tree))
    assert "upload:" not in aws("sync", tree, f"s3://{bucket}/t"), "a second sync has nothing to do"
    aws("sync", f"s3://{bucket}/t", "down")
    assert files_of(tmp_path / "down") == files_of(tree)
    (tree / "plain.txt").unlink()
    assert "delete:" in aws("sync", "--delete", tree, f"s3://{bucket}/t")
    aws("sync", f"s3://{bucket}/t", f"s3://{bucket}/u")
    assert "plain.txt" not in aws("ls", "--recursive", f"s3://{bucket}/u")


def test_aws_cp_large_file_by_multipart(aws: Command, s3: Any, bucket: str, big_file: Path, tmp_path: Path) -> None:
    aws("cp", "--no-progress", big_file, f"s3://{bucket}/big")
    assert s3.head_object(Bucket=bucket, Key="big")["ETag"].endswith('-25"')
    aws("cp", "--no-progress", f"s3://{bucket}/big", "back.bin")
    back = tmp_path / "back.bin"
    with back.open("rb") as left, big_file.open("rb") as right:
        assert hashlib.file_digest(left, "sha256").digest() == hashlib.file_digest(right, "sha256").digest()
    back.unlink()
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)


def test_aws_presign(program: Callable[..., Command], target: Target, s3: Any, bucket: str, tmp_path: Path) -> None:
    """Version 1 of the command line signs URLs for us-east-1 with SigV2, which is refused, unless told otherwise."""
    (tmp_path / "config").write_text("[default]\ns3 =\n    signature_version = s3v4\n")
    aws = program("aws", "s3", AWS_CONFIG_FILE=str(tmp_path / "config"))
    s3.put_object(Bucket=bucket, Key="a b.txt", Body=b"presigned")
    url = aws("presign", f"s3://{bucket}/a b.txt", "--expires-in", 60).strip()
    assert url.startswith(target.endpoint_url)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url) as answer:
        assert answer.read() == b"presigned"
