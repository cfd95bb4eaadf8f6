from __future__ import annotations

import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from qcc.train.data.registries import FetchError, fetch_deb, fetch_wheel

needs_dpkg = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="the program dpkg-deb is not here")


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all that pip knows; it holds the wheel toy_data 1.0."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    with zipfile.ZipFile(folder / "toy_data-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("toy_data/a.bin", b"content")
        wheel.writestr("../../evil.bin", b"evil")
        wheel.writestr(
            "toy_data-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: toy-data\nVersion: 1.0\n"
        )
        wheel.writestr("toy_data-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_wheel_gives_only_the_wanted_members(wheels: Path, tmp_path: Path) -> None:
    fetch_wheel("toy-data==1.0", {"toy_data/a.bin": tmp_path / "out" / "a.bin"})
    assert (tmp_path / "out" / "a.bin").read_bytes() == b"content"
    assert not list(tmp_path.rglob("evil.bin"))


def test_wheel_without_a_member(wheels: Path, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"toy_data-1\.0-py3-none-any\.whl holds no file toy_data/b\.bin"):
        fetch_wheel("toy-data==1.0", {"toy_data/b.bin": tmp_path / "b.bin"})


def test_wheel_that_the_registry_lacks(wheels: Path, tmp_path: Path) -> None:
    with pytest.raises(
        FetchError, match=r"^`pip download .* toy-data==2.0` failed \(No matching distribution"
    ):
        fetch_wheel("toy-data==2.0", {"toy_data/a.bin": tmp_path / "a.bin"})


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the Debian package toy-data, and an `apt-get` first on PATH that downloads from it."""
    tree = tmp_path / "tree"
    for path, text in {
        "DEBIAN/control": "Package: toy-data\nVersion: 1\nArchitecture: all\nMaintainer: T\nDescription: t\n",
        "usr/share/toy/a.bin": "content",
    }.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text(text)
    (tree / "usr/share/toy/link.bin").symlink_to("/etc/passwd")
    folder = tmp_path / "repository"
    folder.mkdir()
    subprocess.run(["dpkg-deb", "--build", tree, folder / "toy.deb"], check=True, capture_output=True)
    apt(folder, f'[ "$1" = download ] && [ "$2" = toy-data ] && exec cp {folder}/toy.deb .')
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def apt(folder: Path, script: str) -> None:
    program = folder / "apt-get"
    program.write_text(f"#!/bin/sh\n{script}\necho 'E: Unable to locate package' >&2\nexit 100\n")
    program.chmod(0o755)


@needs_dpkg
def test_deb_gives_the_wanted_member(repository: Path, tmp_path: Path) -> None:
    fetch_deb("toy-data", {"usr/share/toy/a.bin": tmp_path / "out" / "a.bin"})
    assert (tmp_path / "out" / "a.bin").read_text() == "content"


@needs_dpkg
def test_deb_member_that_is_a_link_is_not_followed(repository: Path, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"toy\.deb holds no file usr/share/toy/link\.bin"):
        fetch_deb("toy-data", {"usr/share/toy/link.bin": tmp_path / "link.bin"})


@needs_dpkg
def test_deb_is_found_with_own_lists_where_the_machine_has_none(repository: Path, tmp_path: Path) -> None:
    apt(
        repository,
        'case "$1" in -oDir::State=*) state=${1#-oDir::State=};; *) echo "E: no lists" >&2; exit 100;; esac\n'
        "for word; do last2=$last; last=$word; done\n"
        '[ "$last" = update ] && exec touch "$state/lists/known"\n'
        f'[ "$last2" = download ] && [ -e "$state/lists/known" ] && exec cp {repository}/toy.deb .',
    )
    fetch_deb("toy-data", {"usr/share/toy/a.bin": tmp_path / "a.bin"})
    assert (tmp_path / "a.bin").read_text() == "content"


@needs_dpkg
def test_deb_that_the_registry_lacks(repository: Path, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"^`apt-get .*update` failed \(Unable to locate package\)"):
        fetch_deb("other-data", {"usr/share/toy/a.bin": tmp_path / "a.bin"})


@needs_dpkg
def test_damaged_deb(repository: Path, tmp_path: Path) -> None:
    (repository / "toy.deb").write_bytes(b"no package")
    with pytest.raises(FetchError, match=r"^toy\.deb is damaged"):
        fetch_deb("toy-data", {"usr/share/toy/a.bin": tmp_path / "a.bin"})


def test_deb_without_debians_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FetchError, match="no program apt-get here"):
        fetch_deb("toy-data", {})
