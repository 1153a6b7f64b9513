"""schemathesis over the OpenAPI document, as the anon role, a user and the service role: no 5xx, documented statuses,
documented shapes. The same cases in every run; a long one is a matter of ``ROWLOCK_FUZZ_EXAMPLES``."""

import os
import subprocess
from pathlib import Path
from typing import Final

import pytest

from conformance.clients.conftest import PROGRAMS, report_missing
from conformance.clients.supabase import FUZZED, Supabase
from conformance.rest import tokens
from conformance.rest.client import Api
from conformance.tools import find_python

CHECKS: Final = (
    "no_failure", "refusals_have_their_shape", "status_code_conformance", "content_type_conformance",
    "response_schema_conformance", "response_headers_conformance",
)  # fmt: skip
EXAMPLES: Final = os.environ.get("ROWLOCK_FUZZ_EXAMPLES")
TIMEOUT_SECONDS: Final = 3600.0 if EXAMPLES else 240.0


@pytest.mark.parametrize(
    ("role", "phases", "examples"),
    [("service", "coverage,fuzzing", "4"), ("alice", "fuzzing", "4"), ("anon", "fuzzing", "2")],
    ids=["service", "alice", "anon"],
)
def test_what_schemathesis_makes_up(
    request: pytest.FixtureRequest, tmp_path: Path, project: Supabase, role: str, phases: str, examples: str
) -> None:
    python = find_python("schemathesis")
    if python is None:
        report_missing(request, "schemathesis")
    assert python is not None
    token = {"service": project.service_key, "alice": tokens.user(tokens.ALICE), "anon": project.anon_key}[role]
    done = subprocess.run(
        [
            str(python.with_name("schemathesis")),
            "run",
            f"{project.url}/storage/v1/openapi.json",
            f"--header=Authorization: Bearer {token}",
            f"--checks={','.join(CHECKS)}",
            f"--phases={phases}",
            f"--max-examples={EXAMPLES or examples}",
            "--generation-deterministic",
            "--no-color",
        ],
        cwd=tmp_path,
        env=os.environ
        | {"SCHEMATHESIS_HOOKS": "fuzz_hooks", "PYTHONPATH": str(PROGRAMS / "supabase"), "FUZZ_BUCKET": FUZZED},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2000:]


def test_every_operation_was_described(project: Supabase) -> None:
    """What the cases are made of: each route, its parameters and its answers."""
    document = Api("127.0.0.1", project.server.port).send("GET", "/openapi.json").json
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    assert len(operations) >= 41
    for operation in operations:
        assert {"200", "400"} <= operation["responses"].keys(), operation["operationId"]
        assert "default" not in operation["responses"]
