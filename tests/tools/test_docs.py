"""README, the pages of docs/, and the site that is made of them."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import qcc
from qcc.cli.main import COMMANDS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_links_to_is_there(page: Path) -> None:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(), flags=re.DOTALL)
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", text)
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []


def test_the_readme_is_for_ten_minutes() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 110


def test_every_public_name_is_on_the_page_of_names() -> None:
    listed = re.findall(r"^::: qcc\.(\w+)$", (DOCS / "api.md").read_text(), re.MULTILINE)
    assert sorted({*listed, "__version__"}) == sorted({*qcc.__all__, "errors"})


def test_every_command_is_on_the_page_of_commands() -> None:
    listed = re.findall(r"^qcc (\S+)", (DOCS / "commands.md").read_text(), re.MULTILINE)
    assert set(listed) == set(COMMANDS)


def test_the_version_in_work_is_the_newest_of_the_changes() -> None:
    versions = re.findall(r"^## (\d+\.\d+\.\d+) ", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert versions[0] == qcc.__version__
    numbers = [tuple(map(int, version.split("."))) for version in versions]
    assert numbers == sorted(set(numbers), reverse=True)


def test_every_page_is_in_the_contents_of_the_site() -> None:
    listed = re.findall(r"^ +- (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(page.name for page in DOCS.glob("*.md"))


@pytest.mark.slow
def test_the_site_is_built(tmp_path: Path) -> None:
    if importlib.util.find_spec("mkdocs") is None:
        pytest.skip("mkdocs is not installed; `pip install 'qcc[docs]'`")
    command = [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(tmp_path)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "true"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "search/search_index.json").exists()
    names = (tmp_path / "api.html").read_text()
    assert all(f'id="qcc.{name}"' in names for name in ("load", "Model", "errors.PaddleError"))
