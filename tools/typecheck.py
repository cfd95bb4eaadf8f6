"""Run mypy on the package as it is installed, where the folder `train/` is `qcc.train`.

Usage: python tools/typecheck.py [MYPY OPTION...]

mypy derives a module's name from its path, so it gets a folder in which the paths are right: links to what
`qcc/` holds, and a link `qcc/train`. Messages are printed with the paths of the repository.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TREE = ROOT / "build" / "typecheck"


def main() -> int:
    package = TREE / "qcc"
    shutil.rmtree(package, ignore_errors=True)
    package.mkdir(parents=True)
    for entry in (ROOT / "qcc").iterdir():
        if entry.name != "__pycache__":
            (package / entry.name).symlink_to(entry)
    (package / "train").symlink_to(ROOT / "train")
    command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), *sys.argv[1:]]
    done = subprocess.run([*command, "-p", "qcc"], cwd=TREE, stdout=subprocess.PIPE, text=True)
    print(done.stdout.replace("qcc/train/", "train/"), end="")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
