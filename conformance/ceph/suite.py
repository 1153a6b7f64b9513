"""The checkout of the suite: where it is and which tests it holds. Nothing is ever written into it."""

import ast
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

TESTS: Final = Path("s3tests", "functional")
VARIABLE: Final = "ROWLOCK_CEPH_SUITE"


def find(given: Path | None, environ: Mapping[str, str] = os.environ) -> Path | None:
    """The suite's folder: the one given, else the one the variable names; None if there is no suite."""
    named = given or environ.get(VARIABLE)
    return Path(named).resolve() if named and Path(named, TESTS).is_dir() else None


def tests_by_file(folder: Path) -> dict[str, frozenset[str]]:
    """The names of the test functions of each file that has any."""
    found = {path.name: function_names(path.read_text("utf-8")) for path in (folder / TESTS).glob("test_*.py")}
    return {file: names for file, names in found.items() if names}


def function_names(source: str) -> frozenset[str]:
    """The test functions of a module; one defined twice counts once, for the second hides the first."""
    body = ast.parse(source).body
    return frozenset(node.name for node in body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"))
