from __future__ import annotations

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent.parent
PYTHONS = ("3.10", "3.11", "3.12")


def locked(name: str) -> list[tuple[Requirement, int]]:
    """Every requirement of a lock file, and the number of its hashes."""
    text = (ROOT / "requirements" / name).read_text()
    entries = re.split(r"\n(?=\S)", re.sub(r"^ *#.*\n", "", text, flags=re.MULTILINE))
    return [
        (Requirement(entry.split("\\")[0].strip()), entry.count("--hash=sha256:"))
        for entry in entries
        if entry.strip()
    ]


def versions(name: str, python: str) -> dict[str, str]:
    """What a lock file installs on Linux on x86-64 with CPython `python`."""
    environment = {
        "python_version": python,
        "python_full_version": f"{python}.1",
        "sys_platform": "linux",
        "platform_machine": "x86_64",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }
    return {
        requirement.name: next(iter(requirement.specifier)).version
        for requirement, _ in locked(name)
        if requirement.marker is None or requirement.marker.evaluate(environment)
    }


@pytest.mark.parametrize("name", ["cpu.txt", "cpu3.txt", "gpu.txt"])
def test_every_package_has_one_version_and_hashes(name: str) -> None:
    for requirement, hashes in locked(name):
        assert re.fullmatch(r"==[^,*]+", str(requirement.specifier))
        assert hashes > 0
    assert not re.search(r"https?://|file:|^-|@ ", (ROOT / "requirements" / name).read_text(), re.MULTILINE)


@pytest.mark.parametrize("python", PYTHONS)
def test_pins(python: str) -> None:
    cpu = versions("cpu.txt", python)
    assert cpu["paddlepaddle"] == "2.6.2"
    assert cpu["paddleslim"] == "2.6.0"
    assert int(cpu["numpy"].split(".")[0]) < 2
    assert int(cpu["protobuf"].split(".")[0]) == 4
    assert cpu.get("paddlelite") == ("2.13rc0" if python == "3.10" else None)
    gpu = versions("gpu.txt", python)
    assert gpu["paddlepaddle-gpu"] == "2.6.2"
    assert "paddlepaddle" not in gpu
    cpu3 = versions("cpu3.txt", python)
    assert cpu3["paddlepaddle"] == "3.3.1"
    assert "paddleslim" not in cpu3
    assert cpu3.get("paddlelite") == cpu.get("paddlelite")
    for installed in (cpu, cpu3, gpu):
        assert "torch" not in installed
        assert "opencv-python" not in installed  # it owns the same files as opencv-python-headless
        assert "opencv-python-headless" in installed


def test_the_lock_fits_the_project() -> None:
    """`make lock` was run after the last change of the dependencies."""
    text = (ROOT / "pyproject.toml").read_text()
    listed = re.search(r"^dependencies = \[$(.*?)^\]$", text, re.MULTILINE | re.DOTALL)
    assert listed is not None
    wanted = [Requirement(line) for line in re.findall(r'^    "(.+?)"', listed.group(1), re.MULTILINE)]
    assert len(wanted) >= 10
    for python in PYTHONS:
        for name in ("cpu.txt", "cpu3.txt", "gpu.txt"):
            have = {package.lower(): version for package, version in versions(name, python).items()}
            for requirement in wanted:
                assert requirement.specifier.contains(have[requirement.name.lower()]), requirement
