"""Where the suites' S3 clients are: looked up, never installed here (``install_clients.py`` does that).

Command-line programs come from ``.conformance/`` or the PATH, Python libraries from the virtual environment in
``.conformance/``, Node packages from its ``node_modules``. ``ROWLOCK_CLIENTS_DIR`` names another directory.
"""

import functools
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

MISSING_CLIENT: Final = "missing_client"
REPOSITORY: Final = Path(__file__).resolve().parent.parent
INSTALL_HINT: Final = "python conformance/install_clients.py"


def clients_directory() -> Path:
    """The directory ``install_clients.py`` fills."""
    return Path(os.environ.get("ROWLOCK_CLIENTS_DIR", REPOSITORY / ".conformance"))


def find_program(name: str) -> Path | None:
    """A command-line client: ours first, then whatever the machine has."""
    directories = [clients_directory() / environment / "bin" for environment in ("awscli", "python", "go")]
    found = shutil.which(name, path=os.pathsep.join(map(str, directories))) or shutil.which(name)
    return Path(found) if found else None


@functools.cache
def find_python(module: str) -> Path | None:
    """A Python interpreter that has ``module``, or None."""
    python = clients_directory() / "python" / "bin" / "python"
    if not python.exists():
        return None
    check = [str(python), "-c", f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is None)"]
    return python if subprocess.run(check, capture_output=True, check=False).returncode == 0 else None


def find_node_packages(*packages: str) -> Path | None:
    """The ``node_modules`` that holds all of ``packages``, if Node is there too."""
    modules = clients_directory() / "node_modules"
    if shutil.which("node") is None or not all((modules / package / "package.json").exists() for package in packages):
        return None
    return modules


def missing_client_lines(names: Sequence[str]) -> list[str]:
    """What the end of a run says about clients that were not there."""
    return [f"clients missing: {', '.join(names)}", f"install them with: {INSTALL_HINT}"]
