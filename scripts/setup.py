"""Make the virtual environment that everything here runs in, from Python 3.11, 3.12 or 3.13 alone.

    python3 scripts/setup.py .venv

Versions and hashes are those of constraints.txt. Nothing outside the environment's folder is touched.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

SUPPORTED = ((3, 11), (3, 12), (3, 13))


def interpreter() -> str:
    """A supported interpreter: this one, or another on PATH. Exits with a message where there is none."""
    if sys.version_info[:2] in SUPPORTED:
        return sys.executable
    for major, minor in reversed(SUPPORTED):
        candidate = shutil.which(f"python{major}.{minor}")
        # A version manager's stand-in may be there for an interpreter that is not.
        if candidate and subprocess.run([candidate, "-V"], capture_output=True, check=False).returncode == 0:
            return candidate
    found = ".".join(map(str, sys.version_info[:3]))
    sys.exit(f"compute-node needs Python 3.11, 3.12 or 3.13; python3 is {found}, and no other is on PATH")


def main(target: Path) -> None:
    """Create `target` and install the locked packages and this project into it."""
    root = Path(__file__).resolve().parent.parent
    chosen = interpreter()
    print(f"setting up {target} with {chosen}: a minute or two, once", flush=True)
    if chosen == sys.executable:
        venv.create(target, with_pip=True, clear=True)
    else:
        subprocess.run([chosen, "-m", "venv", "--clear", str(target)], check=True)
    pip = [str(target / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--require-hashes", "--no-deps", "-r", str(root / "constraints.txt")], check=True)
    # Without isolation the build takes setuptools from the locked packages, not from the network.
    quiet = {**os.environ, "PYTHONWARNINGS": "ignore"}  # setuptools warns of every editable installation
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "--editable", str(root)], check=True, env=quiet)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
