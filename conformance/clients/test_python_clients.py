"""Python libraries over S3, each in a process of the environment that has it."""

from collections.abc import Callable

import pytest

from conformance.clients.conftest import Command


@pytest.mark.parametrize(
    ("script", "modules"),
    [
        ("s3fs_files", ["s3fs"]),
        ("pyarrow_dataset", ["pyarrow"]),
        ("obstore_conditions", ["obstore"]),
        ("deltalake_commits", ["deltalake", "pyarrow"]),
        ("minio_objects", ["minio"]),
        ("filedepot_storage", ["depot"]),
    ],
    ids=["s3fs", "pyarrow", "obstore", "deltalake", "minio-py", "filedepot"],
)
def test_python_client(python_client: Callable[..., Command], bucket: str, script: str, modules: list[str]) -> None:
    assert "all right" in python_client(script, *modules)(bucket)


def test_duckdb_reads_parquet(
    request: pytest.FixtureRequest, python_client: Callable[..., Command], bucket: str
) -> None:
    """DuckDB speaks S3 by its httpfs extension, which it downloads: where that is refused the client is missing."""
    from conformance.clients.conftest import report_missing

    output = python_client("duckdb_parquet", "duckdb", "pyarrow")(bucket)
    if "no httpfs" in output:
        report_missing(request, "duckdb httpfs extension")
    assert "all right" in output
