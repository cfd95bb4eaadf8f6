"""The structure of the house: which package may import which, and how long a file may be.

The table of packages stands in pyproject.toml, [tool.importlinter].
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from package_tree import ROOT, lay_out

LONGEST_FILE = 500


def lint(tree: Path) -> subprocess.CompletedProcess[str]:
    """import-linter on a tree that holds the package as it is installed."""
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    command = [
        sys.executable,
        "-c",
        code,
        "--config",
        str(ROOT / "pyproject.toml"),
        "--no-cache",
        "--no-logo",
    ]
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    return subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True)


def test_packages_import_only_what_they_may(tmp_path: Path) -> None:
    lay_out(tmp_path)
    done = lint(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Contracts: 3 kept, 0 broken." in done.stdout


@pytest.mark.parametrize(
    ("module", "line", "told"),
    [
        ("qcc/ir/nodes.py", "import qcc.passes.base", "qcc.ir is not allowed to import qcc.passes"),
        (
            "qcc/backends/fluid.py",
            "import qcc.train.freeze",
            "qcc.backends is not allowed to import qcc.train",
        ),
        ("train/data/voc.py", "import qcc.train.tasks.task", "qcc.train.data is not allowed to import"),
        ("qcc/draw/picture.py", "import qcc.draw.dot", "No circles among modules BROKEN"),
        ("qcc/another.py", "", "qcc.another"),
    ],
)
def test_what_they_may_not_is_found(tmp_path: Path, module: str, line: str, told: str) -> None:
    source, tree = tmp_path / "source", tmp_path / "tree"
    for name in ("qcc", "train"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.move(source / "train", source / "qcc" / "train")
    file = source / "qcc" / module if module.startswith("train/") else source / module
    with file.open("a") as stream:
        stream.write(f"\n{line}\n")
    shutil.move(source, tree)
    done = lint(tree)
    assert done.returncode == 1, done.stdout + done.stderr
    assert told in " ".join(done.stdout.split())


@pytest.mark.parametrize("folder", ["qcc", "train"])
def test_files_are_short(folder: str) -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in (ROOT / folder).rglob("*.py")
    }
    assert {name: length for name, length in lengths.items() if length > LONGEST_FILE} == {}
