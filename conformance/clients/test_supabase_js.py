"""The published supabase-js in Node: every test of ``programs/supabase`` by its name, and every method of ``storage``.

A program runs once; each of its tests is reported as one of ours.
"""

import functools
import json
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from conformance.clients.conftest import PROGRAMS, TIMEOUT_SECONDS, report_missing
from conformance.clients.supabase import Supabase
from conformance.tools import find_node_packages

SUITE: Final = PROGRAMS / "supabase"
FAMILIES: Final = ("buckets", "uploads", "objects", "doors")
PACKAGES: Final = ("@supabase/supabase-js", "@aws-sdk/client-s3")
# createClient wants a WebSocket for its realtime half, which Node 20 has behind a flag that later ones take too.
NODE: Final = ("node", "--experimental-websocket")
_TEST: Final = re.compile(r"""^\s*test\((?:'((?:[^'\\]|\\.)*)'|`([^`]*)`),""", re.MULTILINE)

# Of the prototypes, what is no method of the API but its inner workings (TypeScript's ``private`` and ``protected``).
INNER: Final = frozenset({
    "BaseApiClient.handleOperation",
    "BlobDownloadBuilder.execute",
    "BlobDownloadBuilder.getPromise",
    "StorageBucketApi.bucketLifecycleUrl",
    "StorageBucketApi.listBucketOptionsToQueryString",
    "StorageFileApi._getFinalPath",
    "StorageFileApi._removeEmptyFolders",
    "StorageFileApi.applyTransformOptsToQuery",
    "StorageFileApi.encodeMetadata",
    "StorageFileApi.prepareUploadFormData",
    "StorageFileApi.toBase64",
    "StorageFileApi.uploadOrUpdate",
    "StreamDownloadBuilder.execute",
    "StreamDownloadBuilder.getPromise",
})  # fmt: skip
# What cannot fail, as it sends nothing, and what has its ends through ``execute``.
SENDS_NOTHING: Final = frozenset({
    "BaseApiClient.setHeader",
    "BaseApiClient.throwOnError",
    "BlobDownloadBuilder.asStream",
    "StorageClient.from",
    "StorageFileApi.download",
    "StorageFileApi.getPublicUrl",
})  # fmt: skip
# No CDN is set for this server, so there is nothing to purge.
NEVER_SUCCEEDS: Final = frozenset({"StorageBucketApi.purgeBucketCache", "StorageFileApi.purgeCache"})


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one test of a program ended."""

    passed: bool
    said: str


@dataclass(frozen=True, slots=True)
class Run:
    """One program: its tests' outcomes, how each method of the client ended, and what was printed."""

    outcomes: Mapping[str, Outcome]
    book: Mapping[str, list[str]]
    output: str


class Programs:
    """Runs each program once, when its first test asks."""

    def __init__(self, project: Supabase, modules: Path, directory: Path) -> None:
        self._environment: Final = os.environ | {
            "NODE_PATH": str(modules),
            "HOME": str(directory),
            "SUPABASE_TARGET": json.dumps(project.target()),
        }
        self._directory: Final = directory
        self.run = functools.cache(self._run)

    def _run(self, family: str) -> Run:
        book = self._directory / f"{family}.json"
        done = subprocess.run(
            [*NODE, f"--test-reporter={SUITE / 'reporter.cjs'}", str(SUITE / f"{family}.cjs")],
            cwd=self._directory,
            env=self._environment | {"SUPABASE_BOOK": str(book)},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
        lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"name"')]
        outcomes = {line["name"]: Outcome(line["passed"], line["said"]) for line in lines}
        return Run(outcomes, json.loads(book.read_text()) if book.exists() else {}, done.stdout + done.stderr)


@pytest.fixture(scope="module")
def programs(project: Supabase, tmp_path_factory: pytest.TempPathFactory) -> Programs | None:
    """The programs, if Node and the packages are there."""
    modules = find_node_packages(*PACKAGES)
    return None if modules is None else Programs(project, modules, tmp_path_factory.mktemp("supabase"))


@pytest.fixture
def suite(request: pytest.FixtureRequest, programs: Programs | None) -> Programs:
    """The programs, or a report that a client is missing."""
    if programs is None:
        report_missing(request, ", ".join(PACKAGES))
    assert programs is not None
    return programs


def tests_of(family: str) -> list[str]:
    """The names of a program's tests; a name made of a value is found by what it has in common with others."""
    found = _TEST.findall((SUITE / f"{family}.cjs").read_text("utf-8"))
    return [(plain or made).replace("\\'", "'") for plain, made in found]


@pytest.mark.parametrize(("family", "name"), [(family, name) for family in FAMILIES for name in tests_of(family)])
def test_supabase_js(suite: Programs, family: str, name: str) -> None:
    run = suite.run(family)
    pattern = re.compile(re.sub(r"\\\$\\\{[^}]*\\\}", ".+", re.escape(name)))
    ended = {each: outcome for each, outcome in run.outcomes.items() if pattern.fullmatch(each)}
    assert ended, f"{family}: no test {name!r} was run:\n{run.output[-2000:]}"
    failed = [f"{each}: {outcome.said}" for each, outcome in ended.items() if not outcome.passed]
    assert not failed, "\n".join(failed)


@pytest.mark.parametrize("family", FAMILIES)
def test_no_program_has_tests_that_are_not_reported(suite: Programs, family: str) -> None:
    patterns = [re.compile(re.sub(r"\\\$\\\{[^}]*\\\}", ".+", re.escape(name))) for name in tests_of(family)]
    outcomes = suite.run(family).outcomes
    assert not [name for name in outcomes if not any(pattern.fullmatch(name) for pattern in patterns)]


def test_every_method_of_the_prototypes_succeeds_and_fails_somewhere(suite: Programs) -> None:
    """A method that a new release brings fails here until it has tests."""
    ends: dict[str, set[str]] = {}
    for family in FAMILIES:
        for method, seen in suite.run(family).book.items():
            ends.setdefault(method, set()).update(seen)
    assert len(ends) > 30
    public = ends.keys() - INNER
    wanted = {name: {"called"} if name in SENDS_NOTHING else {"called", "succeeded", "failed"} for name in public}
    wanted |= {name: {"failed"} for name in NEVER_SUCCEEDS}
    for builder in ("BlobDownloadBuilder", "StreamDownloadBuilder"):
        assert ends[f"{builder}.execute"] == {"called", "succeeded", "failed"}
        wanted |= {f"{builder}.{name}": {"called"} for name in ("then", "catch", "finally")}
    missing = {name: sorted(ends[name] ^ kinds) for name, kinds in wanted.items() if kinds - ends[name]}
    assert not missing, missing
