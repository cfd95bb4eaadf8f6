"""Run mypy on the package as it is installed, where the folder `train/` is `qcc.train`.

Usage: python tools/typecheck.py [MYPY OPTION...]

Messages are printed with the paths of the repository.
"""

from __future__ import annotations

import shutil
import subprocess
import sys

from package_tree import ROOT, lay_out

TREE = ROOT / "build" / "typecheck"


def main() -> int:
    shutil.rmtree(TREE / "qcc", ignore_errors=True)
    lay_out(TREE)
    command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), *sys.argv[1:]]
    done = subprocess.run([*command, "-p", "qcc"], cwd=TREE, stdout=subprocess.PIPE, text=True)
    print(done.stdout.replace("qcc/train/", "train/"), end="")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
