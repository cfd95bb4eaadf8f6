"""Make a virtual environment: find the best Python here, install locked packages and this project into it.

Usage: python3 tools/bootstrap.py [cpu|cpu3]

The environment is `.venv` with Paddle 2.6 (cpu, the default), or `.venv3` with Paddle 3. Needs nothing but a
Python that can run this file, and no root. It does nothing when the environment is up to date, that is, when
neither the lock file nor the project's own files have changed since it was made.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
# 3.10 first: the Paddle Lite runtime has no wheels for newer ones. All else runs on each of them.
VERSIONS = ("3.10", "3.11", "3.12")
DEADLINE = 30  # seconds for an interpreter to say its version

# A virtual environment needs ensurepip, which Debian's Python lacks unless python3-venv is installed.
PROBE = "import ensurepip, platform, venv; print(platform.python_version(), platform.python_implementation())"


class Environment(NamedTuple):
    """Where an environment is, and the lock file that says what is in it."""

    folder: Path
    lock: Path


ENVIRONMENTS = {
    "cpu": Environment(ROOT / ".venv", ROOT / "requirements" / "cpu.txt"),
    "cpu3": Environment(ROOT / ".venv3", ROOT / "requirements" / "cpu3.txt"),
}


class SetupError(Exception):
    """The environment cannot be made; the message is one sentence for the user."""


def main(name: str = "cpu") -> int:
    try:
        if name not in ENVIRONMENTS:
            raise SetupError(f"There is no environment {name!r}: name one of {', '.join(ENVIRONMENTS)}.")
        make_environment(ENVIRONMENTS[name])
    except SetupError as error:
        print(f"bootstrap: {error}", file=sys.stderr)
        return 1
    return 0


def make_environment(environment: Environment) -> None:
    folder, lock = environment
    stamp, begun = folder / ".qcc-stamp", folder / ".qcc-begun"
    wanted = f"{ROOT}\n{fingerprint(lock)}\n"
    found = stamp.read_text() if stamp.is_file() else ""
    # The link to the interpreter dangles when that has been removed.
    if found == wanted and (folder / "bin" / "python").exists():
        return
    # Its programs hold the path that they were made for.
    moved = found and found.splitlines()[0] != str(ROOT)
    # An installation that was cut short may have left half a package.
    if moved or begun.exists() or not usable(folder):
        create_environment(folder)
    stamp.unlink(missing_ok=True)
    begun.touch()
    install(environment)
    stamp.write_text(wanted)
    begun.unlink()


def fingerprint(lock: Path) -> str:
    """What the environment is made of; the packages are installed again when this changes."""
    digest = hashlib.sha256()
    for path in (lock, ROOT / "pyproject.toml", ROOT / "setup.py", Path(__file__)):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def usable(folder: Path) -> bool:
    return succeeds([str(folder / "bin" / "python"), "-m", "pip", "--version"])


def create_environment(folder: Path) -> None:
    python, version = best_interpreter(candidates())
    if version.startswith("3.10."):
        why = "the newest on which the Paddle Lite runtime can be installed"
    else:
        why = "no Python 3.10 was found, so the Paddle Lite runtime will be missing and its tests are skipped"
    print(f"bootstrap: making {folder.name} with Python {version} ({python}): {why}.", flush=True)
    if folder.is_symlink() or folder.is_file():
        folder.unlink()
    shutil.rmtree(folder, ignore_errors=True)
    run([python, "-m", "venv", str(folder)], f"The virtual environment {folder.name} could not be made")


def best_interpreter(found: list[str]) -> tuple[str, str]:
    """Return path and full version of the first usable interpreter among `found`."""
    for python in found:
        try:
            probe = subprocess.run(
                [python, "-c", PROBE], capture_output=True, text=True, timeout=DEADLINE, cwd=ROOT
            )
        except (OSError, subprocess.TimeoutExpired):
            continue
        version, _, implementation = probe.stdout.strip().partition(" ")
        if probe.returncode == 0 and implementation == "CPython" and version.startswith(prefixes()):
            return python, version
    raise SetupError(
        f"No usable Python {', '.join(VERSIONS)} was found on PATH or under pyenv (looked at"
        f" {', '.join(found) or 'none'}); install one with its venv module, for example python3.11-venv."
    )


def prefixes() -> tuple[str, ...]:
    return tuple(f"{version}." for version in VERSIONS)


def candidates() -> list[str]:
    """Paths of interpreters to try, best first: by version, and those on PATH before those of pyenv."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    found: list[str] = []
    for version in VERSIONS:
        on_path = shutil.which(f"python{version}")
        if on_path:
            found.append(on_path)
        patched = sorted(pyenv.glob(f"{version}.*/bin/python"), key=patch_level, reverse=True)
        found.extend(str(path) for path in patched)
    # A `python3` that is none of the above, as in a conda environment.
    found.append(sys.executable)
    return found


def patch_level(python: Path) -> int:
    """13 for `.../3.10.13/bin/python`; 0 for names such as `3.10-dev`."""
    last = python.parent.parent.name.split(".")[-1]
    return int(last) if last.isdigit() else 0


def install(environment: Environment) -> None:
    python = str(environment.folder / "bin" / "python")
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    print("bootstrap: installing the locked packages (some 300 MB, a minute or two) ...", flush=True)
    # The lock is complete but for the package that [tool.uv] in pyproject.toml leaves out: hence --no-deps.
    run(
        [*pip, "--no-deps", "--require-hashes", "-r", str(environment.lock)],
        "The locked packages could not be installed",
    )
    run(
        [*pip, "--no-deps", "--no-build-isolation", "--editable", str(ROOT)],
        f"This project could not be installed into {environment.folder.name}",
    )


def run(command: list[str], failure: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=clean_environment())
    if done.returncode:
        lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR:")] or lines[-1:] or ["no output"]
        reason = errors[0][len("ERROR:") :] if errors[0].startswith("ERROR:") else errors[0]
        raise SetupError(
            f"{failure} (exit code {done.returncode}: {reason.strip().rstrip('.')});"
            " is the package registry that pip uses reachable, and the disk not full?"
        )


def succeeds(command: list[str]) -> bool:
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=DEADLINE, cwd=ROOT, env=clean_environment()
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def clean_environment() -> dict[str, str]:
    """The environment without what would mix another Python's packages into ours."""
    mixing = {"PYTHONPATH", "PYTHONHOME", "PIP_TARGET", "PIP_PREFIX", "PIP_USER", "__PYVENV_LAUNCHER__"}
    return {name: value for name, value in os.environ.items() if name not in mixing}


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
