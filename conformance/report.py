"""Writes the tables that the pages take from the code: ``python -m conformance.report`` (``--check`` only compares).

A table stands between ``<!-- generated: NAME -->`` and ``<!-- end -->``; the text around it is written by hand.
"""

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Final

from gateway.commands.config import Flags
from gateway.operations.operation import Operation
from gateway.operations.table import OPERATIONS
from gateway.s3 import model
from gateway.telemetry.figures import FIGURES

ROOT: Final = Path(__file__).resolve().parent.parent

# The module of a handler, as its family is called in the table.
_FAMILIES: Final[Mapping[str, str]] = {
    "buckets": "Buckets",
    "objects": "Objects",
    "copying": "Objects",
    "deletion": "Objects",
    "listing": "Listings",
    "multipart": "Multipart uploads",
    "uploads_listing": "Multipart uploads",
    "lifecycle": "Lifecycle",
    "versions": "Versions",
    "object_lock": "Object lock",
    "bucket_encryption": "Configurations of buckets",
    "tagging": "Tags",
    "annotations": "Annotations",
    "cors": "Cross-origin rules",
    "fixed": "Accepted where nothing would change (the owner pays, no logging, no notifications)",
    "access_control": "Access control",
    "bucket_policies": "Access control",
    "configuration": "Answered as AWS does where nothing is configured (these cannot be set yet)",
}
# Answered by the front itself: the form upload and the CORS preflight.
_OF_BROWSERS: Final = ("PostObject", "OptionsObject")
_BLOCK: Final = r"<!-- generated: {} -->\n(.*?)<!-- end -->"


def operations() -> str:
    """What is served, by family, and what S3 has besides."""
    served: dict[str, list[str]] = {}
    for operation in OPERATIONS:
        served.setdefault(_FAMILIES[_module(operation)], []).append(operation.name)
    known = {name for family in served.values() for name in family}
    missing = sorted(set(model.load()) - known - set(_OF_BROWSERS))
    rows = [(family, f"{len(names)}", ", ".join(names)) for family, names in served.items()]
    rows.append(("What browsers send (not in the model)", f"{len(_OF_BROWSERS)}", ", ".join(_OF_BROWSERS)))
    rows.append(("Recognised, answered with 501 `NotImplemented`", f"{len(missing)}", ", ".join(missing)))
    return _table(("Area", "", "Operations"), rows)


def policy_names() -> str:
    """What ``storage.operation()`` returns for each operation."""
    return _table(
        ("Operation", "`storage.operation()`"),
        [(operation.name, f"`{operation.policy_name}`") for operation in OPERATIONS],
    )


def settings() -> str:
    """Every setting, as ``rowlock config --json`` knows it where nothing is set."""
    shown = subprocess.run(
        [sys.executable, "-m", "gateway", "config", "--json"],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    flags = {field.name for field in fields(Flags)}
    return _table(
        ("Variable", "Flag", "Default", "Meaning"),
        [
            (
                f"`{setting['variable']}`",
                f"`--{setting['name'].replace('_', '-')}`" if setting["name"] in flags else "",
                f"`{setting['default']}`" if setting["default"] is not None else "",
                setting["description"],
            )
            for setting in json.loads(shown)
        ],
    )


def metrics() -> str:
    """Every figure of the page Prometheus reads."""
    return _table(
        ("Metric", "Kind", "Labels", "What"),
        [
            (f"`{figure.exposed}`", figure.kind, ", ".join(f"`{label}`" for label in figure.labels), figure.help)
            for figure in FIGURES
        ],
    )


GENERATED: Final[tuple[tuple[str, str, Callable[[], str]], ...]] = (
    ("README.md", "operations", operations),
    ("docs/policies.md", "policy names", policy_names),
    ("docs/configure.md", "settings", settings),
    ("docs/observe.md", "metrics", metrics),
)


def renewed() -> Iterator[tuple[Path, str, str]]:
    """Each page with a table: its path, its text now, its text as it should be. Raises ValueError for lost markers."""
    for page, name, write in GENERATED:
        path = ROOT / page
        text = path.read_text("utf-8")
        found = re.search(_BLOCK.format(re.escape(name)), text, re.DOTALL)
        if found is None:
            raise ValueError(f"{page} has lost the markers of {name!r}")
        start, end = found.span(1)
        yield path, text, text[:start] + write() + text[end:]


def main() -> int:
    """Rewrite, or with ``--check`` only compare; status 1 when a page was stale."""
    parser = argparse.ArgumentParser(prog="python -m conformance.report", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing")
    check = parser.parse_args().check
    stale = 0
    for path, before, after in renewed():
        if before != after:
            stale += 1
            print(f"{path.relative_to(ROOT)}: {'stale' if check else 'renewed'}")
            if not check:
                path.write_text(after, "utf-8")
    return 1 if check and stale else 0


def _module(operation: Operation) -> str:
    return operation.handler.__module__.rpartition(".")[2]


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
