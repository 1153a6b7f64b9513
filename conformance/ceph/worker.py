"""pytest plugin inside the suite's own environment: the tests that are asked for, and a configuration for each worker.

Every worker has an account of its own, for the suite deletes buckets between tests and counts those it sees.
"""

import os
from pathlib import Path

import pytest

DIRECTORY_VARIABLE = "ROWLOCK_CEPH_RUN"
SELECTION = "selection.txt"


def configuration(directory: Path, worker: str) -> Path:
    """The file the suite reads in this worker."""
    return directory / f"{worker}.conf"


def pytest_configure() -> None:
    """Before the suite is imported: it reads its configuration at import."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
    os.environ["S3TEST_CONF"] = str(configuration(Path(os.environ[DIRECTORY_VARIABLE]), worker))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave only what is selected."""
    selected = frozenset(Path(os.environ[DIRECTORY_VARIABLE], SELECTION).read_text("utf-8").split())
    others = [item for item in items if _name(item) not in selected]
    items[:] = [item for item in items if _name(item) in selected]
    config.hook.pytest_deselected(items=others)


def _name(item: pytest.Item) -> str:
    return f"{item.path.name}::{getattr(item, 'originalname', item.name)}"
