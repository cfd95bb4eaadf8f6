from __future__ import annotations

import ast
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPT = Path(__file__).parent.parent.parent / "tools" / "bootstrap.py"


@pytest.fixture
def bootstrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module that works in an empty folder."""
    spec = importlib.util.spec_from_file_location("bootstrap", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "ENVIRONMENTS", environments(module, tmp_path))
    for name in ("lock.txt", "pyproject.toml", "setup.py"):
        (tmp_path / name).write_text(name)
    return module


def environments(module: ModuleType, root: Path) -> dict[str, Any]:
    return {"cpu": module.Environment(root / ".venv", root / "lock.txt")}


@pytest.fixture
def done(bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What `main` does to an environment, as it does it."""
    steps: list[str] = []

    def create(folder: Path) -> None:
        steps.append("create")
        python(folder / "bin" / "python", "exit 0")
        (folder / ".qcc-begun").unlink(missing_ok=True)

    monkeypatch.setattr(bootstrap, "create_environment", create)
    monkeypatch.setattr(bootstrap, "install", lambda environment: steps.append("install"))
    return steps


def python(path: Path, script: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_takes_the_first_interpreter_that_works(bootstrap: ModuleType, tmp_path: Path) -> None:
    found = [
        str(tmp_path / "missing"),
        python(tmp_path / "shim", "echo 'pyenv: python3.10: command not found' >&2; exit 127"),
        python(tmp_path / "new", "echo 3.13.0 CPython"),
        python(tmp_path / "other", "echo 3.10.9 PyPy"),
        python(tmp_path / "good", "echo 3.11.7 CPython"),
        python(tmp_path / "late", "echo 3.12.1 CPython"),
    ]
    assert bootstrap.best_interpreter(found) == (found[4], "3.11.7")


def test_probe_is_true_of_this_interpreter(bootstrap: ModuleType) -> None:
    version = ".".join(map(str, sys.version_info[:3]))
    assert bootstrap.best_interpreter([sys.executable]) == (sys.executable, version)


def test_no_interpreter_is_one_sentence(bootstrap: ModuleType) -> None:
    with pytest.raises(bootstrap.SetupError, match=r"^No usable Python 3\.10, 3\.11, 3\.12 was found .*none"):
        bootstrap.best_interpreter([])


def test_looks_for_3_10_first_on_path_and_under_pyenv(
    bootstrap: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_path = python(tmp_path / "bin" / "python3.11", "")
    for version in ("3.10.2", "3.10.13", "3.12.1", "3.10-dev", "3.9.9"):
        python(tmp_path / "pyenv" / "versions" / version / "bin" / "python", "")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    pyenv = tmp_path / "pyenv" / "versions"
    assert bootstrap.candidates() == [
        str(pyenv / "3.10.13/bin/python"),
        str(pyenv / "3.10.2/bin/python"),
        on_path,
        str(pyenv / "3.12.1/bin/python"),
        sys.executable,
    ]


@pytest.mark.parametrize(
    ("version", "why"), [("3.10.9", "can be installed"), ("3.12.1", "no Python 3.10 was found")]
)
def test_says_which_interpreter_and_why(
    bootstrap: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    version: str,
    why: str,
) -> None:
    path = python(tmp_path / "python", f"echo {version} CPython")
    monkeypatch.setattr(bootstrap, "candidates", lambda: [path])
    bootstrap.create_environment(tmp_path / ".venv3")
    (line,) = capsys.readouterr().out.splitlines()
    assert f"making .venv3 with Python {version} ({path})" in line
    assert why in line


def test_works_once(bootstrap: ModuleType, done: list[str]) -> None:
    bootstrap.main()
    bootstrap.main()
    assert done == ["create", "install"]


def test_installs_again_when_the_lock_has_changed(
    bootstrap: ModuleType, done: list[str], tmp_path: Path
) -> None:
    bootstrap.main()
    (tmp_path / "lock.txt").write_text("other versions")
    bootstrap.main()
    assert done == ["create", "install", "install"]


def test_starts_anew_after_an_installation_that_was_cut_short(
    bootstrap: ModuleType, done: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(environment: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(bootstrap, "install", interrupted)
        with pytest.raises(KeyboardInterrupt):
            bootstrap.main()
    bootstrap.main()
    assert done == ["create", "create", "install"]


@pytest.mark.parametrize("damage", ["exit 1", None], ids=["pip is broken", "interpreter is gone"])
def test_starts_anew_when_the_environment_is_broken(
    bootstrap: ModuleType, done: list[str], tmp_path: Path, damage: str | None
) -> None:
    bootstrap.main()
    interpreter = tmp_path / ".venv" / "bin" / "python"
    if damage:
        python(interpreter, damage)
        (tmp_path / "lock.txt").write_text("other versions")
    else:
        interpreter.unlink()
    bootstrap.main()
    assert done == ["create", "install"] * 2


def test_starts_anew_when_the_folder_was_moved(
    bootstrap: ModuleType, done: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bootstrap.main()
    moved = tmp_path.with_name(tmp_path.name + "-moved")
    tmp_path.rename(moved)
    monkeypatch.setattr(bootstrap, "ROOT", moved)
    monkeypatch.setattr(bootstrap, "ENVIRONMENTS", environments(bootstrap, moved))
    bootstrap.main()
    assert done == ["create", "install"] * 2


def test_missing_registry_is_one_sentence(
    bootstrap: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pip = "echo 'WARNING: retrying' >&2; echo 'ERROR: No matching distribution found for rich' >&2; exit 1"
    python(tmp_path / ".venv" / "bin" / "python", pip)
    monkeypatch.setattr(bootstrap, "usable", lambda folder: True)
    assert bootstrap.main() == 1
    error = capsys.readouterr().err
    assert error.startswith("bootstrap: The locked packages could not be installed (exit code 1: No matching")
    assert error.count("\n") == 1
    assert not (tmp_path / ".venv" / ".qcc-stamp").exists()


def test_each_paddle_has_an_environment_of_its_own(
    bootstrap: ModuleType, done: list[str], tmp_path: Path
) -> None:
    (tmp_path / "lock3.txt").write_text("others")
    bootstrap.ENVIRONMENTS["cpu3"] = bootstrap.Environment(tmp_path / ".venv3", tmp_path / "lock3.txt")
    assert bootstrap.main("cpu") == bootstrap.main("cpu3") == 0
    assert done == ["create", "install"] * 2
    (tmp_path / "lock3.txt").write_text("other versions")
    assert bootstrap.main("cpu") == bootstrap.main("cpu3") == 0
    assert done == ["create", "install"] * 2 + ["install"]


def test_unknown_environment_is_one_sentence(
    bootstrap: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bootstrap.main("gpu") == 1
    assert capsys.readouterr().err == "bootstrap: There is no environment 'gpu': name one of cpu.\n"


def test_runs_on_an_old_python() -> None:
    """It must be able to say that Python is too old, so it keeps to what 3.8 can parse."""
    ast.parse(SCRIPT.read_text(), feature_version=(3, 8))
