from __future__ import annotations

import gzip
import hashlib
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath

import pytest

from qcc.errors import DataError
from qcc.train.data import cache
from qcc.train.data.registries import FetchError

CONTENT = {"a.bin": b"first", "sub/b.bin": b"second"}
Fetch = Callable[[str, Mapping[str, Path]], None]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a small data set named "toy", in a cache that is still empty."""
    toy = cache.Source(
        title="Toy data",
        licence="MIT",
        registry="debian",
        package="toy-data",
        folder="usr/share/toy",
        files={name: hashlib.sha256(content).hexdigest() for name, content in CONTENT.items()},
    )
    monkeypatch.setenv("QCC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "sources", lambda: {"toy": toy})
    return tmp_path / "cache" / "toy"


def arriving(content: Mapping[str, bytes]) -> tuple[Fetch, list[str]]:
    """A fetch that delivers `content`, and the list of the members that it was asked for."""
    asked: list[str] = []

    def fetch(requirement: str, members: Mapping[str, Path]) -> None:
        assert requirement == "toy-data"
        for member, path in members.items():
            asked.append(member)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content[member.removeprefix("usr/share/toy/")])

    return fetch, asked


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_fetches_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch, asked = arriving(CONTENT)
    monkeypatch.setattr(cache, "fetch_deb", fetch)
    assert cache.dataset("toy") == folder
    assert contents(folder) == CONTENT
    assert cache.dataset("toy") == folder
    assert asked == ["usr/share/toy/a.bin", "usr/share/toy/sub/b.bin"]


def test_takes_files_put_there_by_hand(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch, asked = arriving(CONTENT)
    monkeypatch.setattr(cache, "fetch_deb", fetch)
    folder.mkdir(parents=True)
    (folder / "a.bin").write_bytes(CONTENT["a.bin"])
    cache.dataset("toy")
    assert contents(folder) == CONTENT
    assert asked == ["usr/share/toy/sub/b.bin"]


def test_refuses_a_fetched_file_with_another_checksum(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "fetch_deb", arriving({**CONTENT, "sub/b.bin": b"forged"})[0])
    with pytest.raises(DataError, match=r"usr/share/toy/sub/b\.bin of the debian package toy-data"):
        cache.dataset("toy")
    assert not folder.exists()
    assert [path.name for path in folder.parent.iterdir()] == [".toy.lock"]


def test_refuses_a_damaged_file_and_leaves_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "fetch_deb", arriving(CONTENT)[0])
    cache.dataset("toy")
    (folder / "a.bin").write_bytes(b"damaged")
    with pytest.raises(DataError, match=rf"^{re.escape(str(folder / 'a.bin'))} is damaged"):
        cache.dataset("toy")
    assert (folder / "a.bin").read_bytes() == b"damaged"


def test_a_failed_fetch_says_what_to_do_by_hand(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(requirement: str, members: Mapping[str, Path]) -> None:
        raise FetchError("the registry is down")

    monkeypatch.setattr(cache, "fetch_deb", fail)
    with pytest.raises(DataError) as caught:
        cache.dataset("toy")
    message = str(caught.value)
    for part in ("'toy'", "the registry is down", "a.bin, sub/b.bin", "package toy-data", str(folder)):
        assert part in message
    assert "\n" not in message


def test_unknown_name(folder: Path) -> None:
    with pytest.raises(DataError, match=r"no data set 'cifar'; there are toy\."):
        cache.dataset("cifar")


def test_cache_folder_that_cannot_be_made(folder: Path) -> None:
    folder.parent.write_bytes(b"a file is in the way")
    with pytest.raises(DataError, match=r"cannot be written .*set QCC_CACHE"):
        cache.dataset("toy")


def test_only_one_of_several_processes_fetches(tmp_path: Path) -> None:
    digest = hashlib.sha256(b"content").hexdigest()
    program = textwrap.dedent(f"""
        import time
        from pathlib import Path
        from qcc.train.data import cache
        cache.sources = lambda: {{"toy": cache.Source(
            title="", licence="", registry="pypi", package="toy", folder="toy", files={{"a": "{digest}"}})}}
        def fetch(requirement, members):
            with open({str(tmp_path / "log")!r}, "a") as log:
                log.write("fetched\\n")
            time.sleep(0.3)
            members["toy/a"].write_bytes(b"content")
        cache.fetch_wheel = fetch
        print((cache.dataset("toy") / "a").read_text())
    """)
    command = ["env", f"QCC_CACHE={tmp_path / 'cache'}", sys.executable, "-c", program]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert [process.communicate()[0] for process in processes] == ["content\n"] * 3
    assert (tmp_path / "log").read_text() == "fetched\n"


def test_default_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("QCC_CACHE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.cache_folder() == tmp_path / ".cache" / "qcc"


@pytest.mark.parametrize("name", sorted(cache.sources()))
def test_table_names_paths_inside_the_folder_and_full_checksums(name: str) -> None:
    source = cache.sources()[name]
    assert source.files
    for file, checksum in source.files.items():
        path = PurePosixPath(source.folder, file)
        assert not path.is_absolute()
        assert ".." not in path.parts
        assert re.fullmatch(r"[0-9a-f]{64}", checksum)


def test_real_models(pp_ocr_models: dict[str, Path]) -> None:
    for folder in pp_ocr_models.values():
        assert (folder / "inference.pdmodel").stat().st_size > 100_000
        assert (folder / "inference.pdiparams").stat().st_size > 500_000


def test_real_images(fashion_mnist: Path) -> None:
    with gzip.open(fashion_mnist / "t10k-images-idx3-ubyte.gz") as stream:
        header = stream.read(16)
    assert [int.from_bytes(header[at : at + 4], "big") for at in (0, 4, 8, 12)] == [2051, 10_000, 28, 28]
