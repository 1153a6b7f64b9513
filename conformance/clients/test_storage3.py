"""The published storage3: every test of ``programs/supabase/storage3_methods.py`` by its name, for both halves."""

import functools
import json
import os
import re
import subprocess
from typing import Final

import pytest

from conformance.clients.conftest import PROGRAMS, TIMEOUT_SECONDS, report_missing
from conformance.clients.supabase import Supabase
from conformance.rest.__main__ import Outcomes, junit_outcomes
from conformance.tools import find_python

PROGRAM: Final = PROGRAMS / "supabase" / "storage3_methods.py"
NAMES: Final = re.findall(r"^def (test_\w+)", PROGRAM.read_text("utf-8"), re.MULTILINE)


@pytest.fixture(scope="module")
def outcomes(project: Supabase, tmp_path_factory: pytest.TempPathFactory) -> Outcomes | None:
    """The program, run once; None where the client is missing."""
    python = find_python("storage3")
    if python is None:
        return None
    directory = tmp_path_factory.mktemp("storage3")
    report = directory / "report.xml"
    options = ["-q", "--noconftest", "-c", os.devnull, f"--rootdir={directory}", "-p", "no:cacheprovider"]
    subprocess.run(
        [str(python), "-m", "pytest", *options, f"--junitxml={report}", str(PROGRAM)],
        cwd=directory,
        env=os.environ | {"SUPABASE_TARGET": json.dumps(project.target()), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    return junit_outcomes(report.read_text("utf-8") if report.exists() else "<none/>")


@functools.cache
def short(name: str) -> str:
    """The name of a test without its module."""
    return name.rpartition("::")[2]


@pytest.mark.parametrize("half", ["sync", "async"])
@pytest.mark.parametrize("name", NAMES)
def test_storage3(request: pytest.FixtureRequest, outcomes: Outcomes | None, name: str, half: str) -> None:
    if outcomes is None:
        report_missing(request, "storage3")
    assert outcomes is not None
    wanted = f"{name}[{half}]"
    failed = {short(each): said for each, said in outcomes.failed.items()}
    assert wanted not in failed, failed[wanted]
    assert wanted in map(short, outcomes.passed), "it was not run"
