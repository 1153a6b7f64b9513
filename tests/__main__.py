"""``python3 -m tests``: everything a change must pass, on a machine that has only Python. Standard library only.

Makes ``.venv`` from the lock file, then runs the linters, the types, the layers, the tests and the conformance
suites, with the clients that can be had. Every step runs even if an earlier one failed, so that one run tells all.
"""

import argparse
import os
import subprocess
import sys
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
LOCK = ROOT / "requirements-dev.lock"
# What reads and writes bytes; the whole suite with --backend takes a release's patience.
UPSTREAM_SELECTION = [
    f"conformance/s3/test_{name}.py" for name in ("objects", "ranges", "copy", "multipart", "delete_objects")
]


def main() -> int:
    """Run the steps; the exit status is 0 only if all passed."""
    parser = argparse.ArgumentParser(prog="python3 -m tests", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="leave out clients, slow and fault tests")
    asked = parser.parse_args()
    if sys.version_info < (3, 11):  # noqa: UP036 - this file is what an older Python gets to see first
        print("Rowlock needs Python 3.11 or later", file=sys.stderr)
        return 2
    prepare()
    failed = [name for name, command in steps(quick=asked.quick) if not run(name, command)]
    if failed:
        print(f"\nfailed: {', '.join(failed)}", file=sys.stderr)
        return 1
    print("\nall steps passed")
    return 0


def prepare() -> None:
    """The environment of the lock file, made once and renewed when the lock changes."""
    stamp = VENV / "lock"
    wanted = LOCK.read_text("utf-8")
    if not PYTHON.exists():
        venv.create(VENV, with_pip=True, clear=VENV.exists())
    if not stamp.exists() or stamp.read_text("utf-8") != wanted:
        pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--require-hashes", "-r", str(LOCK)], check=True)
        subprocess.run([*pip, "--no-deps", "--editable", str(ROOT)], check=True)
        stamp.write_text(wanted, "utf-8")


def steps(*, quick: bool) -> list[tuple[str, list[str]]]:
    """What is run, in order: the cheap and telling first."""
    bin_directory = VENV / "bin"
    pytest = [str(PYTHON), "-m", "pytest", "-q"]
    parallel = ["-n", "2"]
    suites = ROOT.parent / "shared" / "suites"
    suite = os.environ.get("ROWLOCK_CEPH_SUITE", str(suites / "s3-tests"))
    conformance = ["conformance/s3", "conformance/wire", "conformance/rest", "conformance/isolation"]
    javascript = os.environ.get("ROWLOCK_STORAGE_JS_SUITE", str(suites / "storage-js"))
    python = os.environ.get("ROWLOCK_STORAGE3_SUITE", str(suites / "storage3"))
    rest = ["-m", "conformance.rest", "--storage-js", javascript, "--storage3", python]
    chosen = [
        ("ruff check", [str(bin_directory / "ruff"), "check", "."]),
        ("ruff format", [str(bin_directory / "ruff"), "format", "--check", "."]),
        ("mypy", [str(bin_directory / "mypy")]),
        ("import-linter", [str(bin_directory / "lint-imports")]),
    ]
    if quick:
        return [
            *chosen,
            ("tests", [*pytest, *parallel, "-m", "not slow and not faults", "tests"]),
            ("conformance", [*pytest, *parallel, *conformance]),
        ]
    return [
        *chosen,
        ("tests", [*pytest, *parallel, "-m", "not faults", "tests"]),
        ("faults", [*pytest, "-m", "faults", "tests"]),
        ("conformance", [*pytest, *parallel, *conformance]),
        ("over another S3 server", [*pytest, *parallel, "--backend", "rclone", *UPSTREAM_SELECTION]),
        ("client tools", [str(PYTHON), str(ROOT / "conformance" / "install_clients.py")]),
        ("clients", [*pytest, "conformance/clients"]),
        ("Supabase's clients", [str(PYTHON), *rest]),
        ("ceph/s3-tests", [str(PYTHON), "-m", "conformance.ceph", "--suite", suite]),
    ]


def run(name: str, command: list[str]) -> bool:
    """One step, with its time."""
    print(f"\n== {name}: {' '.join(command)}", flush=True)
    began = time.monotonic()
    environment = {**os.environ, "PATH": f"{VENV / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"}
    status = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
    print(f"== {name}: {'ok' if status == 0 else f'failed ({status})'} in {time.monotonic() - began:.1f} s", flush=True)
    return status == 0


if __name__ == "__main__":
    sys.exit(main())
