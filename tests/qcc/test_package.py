from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import qcc
import qcc.train

ROOT = Path(__file__).parent.parent.parent


def test_train_is_a_package_of_qcc() -> None:
    assert qcc.train.__name__ == "qcc.train"
    assert Path(qcc.train.__file__).parent == ROOT / "train"
    # The root of the repository holds a folder `train`; were it on the path, `import train` would find it.
    assert str(ROOT) not in sys.path


@pytest.mark.parametrize("folder", [ROOT, ROOT / "tests", Path("/")], ids=["root", "tests", "elsewhere"])
def test_train_is_found_from_every_folder(folder: Path) -> None:
    program = "import qcc.train.data; print(qcc.train.data.__name__)"
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True)
    assert done.stdout == "qcc.train.data\n", done.stderr


def test_paddle_is_imported_in_one_place() -> None:
    """Else what has to be set before its import depends on which module comes first."""
    importing = {
        path.relative_to(ROOT).as_posix()
        for folder in ("qcc", "train")
        for path in (ROOT / folder).rglob("*.py")
        if re.search(r"^\s*(import|from) paddle\b", path.read_text(), re.MULTILINE)
    }
    assert importing == {"qcc/_paddle.py"}


@pytest.mark.parametrize("method", ["spawn", "fork", "forkserver"])
def test_train_is_found_in_worker_processes(method: str) -> None:
    program = (
        "import multiprocessing\n"
        "if __name__ == '__main__':\n"
        f"    with multiprocessing.get_context({method!r}).Pool(1) as pool:\n"
        "        print(pool.apply(eval, ('__import__(\"qcc.train\").train.__name__',)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "qcc.train\n", done.stderr


def test_wheel(tmp_path: Path) -> None:
    source, out, installed = tmp_path / "source", tmp_path / "out", tmp_path / "installed"
    for name in ("qcc", "train"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "-w",
        out,
    ]
    subprocess.run([*build, source], check=True, capture_output=True)
    (wheel,) = out.iterdir()
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(installed)
    assert {name.split("/")[0] for name in names} == {"qcc", f"qcc-{qcc.__version__}.dist-info"}
    assert {
        "qcc/py.typed",
        "qcc/backends/lite/selftest/device/selftest.cc",
        "qcc/frontend/paddle3/data/ops.tsv",
        "qcc/ir/framework.textproto",
        "qcc/train/data/sources.yaml",
        "qcc/train/data/cache.py",
    } <= set(names)
    for tree, prefix in ((ROOT / "qcc", "qcc"), (ROOT / "train", "qcc/train")):
        modules = {f"{prefix}/{path.relative_to(tree)}" for path in tree.rglob("*.py")}
        assert modules <= set(names)
    program = "import qcc.train.data.cache as cache; print(cache.__file__, len(cache.sources()))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(str(installed / "qcc" / "train"))


def test_public_names_are_there() -> None:
    assert set(qcc.__all__) <= set(dir(qcc))
    for name in qcc.__all__:
        assert getattr(qcc, name) is not None


def test_other_names_are_refused() -> None:
    with pytest.raises(AttributeError, match="module 'qcc' has no attribute 'compile'"):
        qcc.compile  # noqa: B018


def test_import_does_not_import_paddle() -> None:
    program = "import sys, qcc, qcc.errors; assert 'paddle' not in sys.modules and 'numpy' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
