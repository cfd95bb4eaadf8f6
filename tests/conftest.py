"""Fixtures for all tests."""

from __future__ import annotations

import importlib.util
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import old_ir
import pytest

from qcc._paddle import dygraph_mode, paddle
from qcc.cli.main import cli
from qcc.train.data.cache import dataset

# Their assertions tell values, too, when they fail.
pytest.register_assert_rewrite("agreement", "mirror")

# On Paddle 3 some of its functions have to be told how.
old_ir.restore()
# Tests build programs. tests/qcc/test_dygraph.py is about the mode that Paddle starts in, and commands run in
# it here, too, as they do from a shell: what lacks `static_mode` fails.
paddle.enable_static()
cli.main = dygraph_mode()(cli.main)  # type: ignore[method-assign]


# What a shell starts in the background ignores Ctrl-C, and so do its children; some tests are about it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _path() -> Iterator[None]:
    """Where modules are found stays as it was: a command that is given module:function adds its folder."""
    before = list(sys.path)
    yield
    sys.path[:] = before


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if importlib.util.find_spec("paddlelite") is None:
        skip = pytest.mark.skip(
            reason="the Paddle Lite runtime cannot be imported (it needs CPython 3.10 on x86-64 Linux)"
        )
        for item in items:
            if item.get_closest_marker("lite"):
                item.add_marker(skip)


@pytest.fixture(scope="session")
def pp_ocr_models() -> dict[str, Path]:
    """Folders of the three PP-OCR models, by "det", "rec" and "cls"."""
    folder = dataset("pp-ocr")
    return {
        "det": folder / "ch_PP-OCRv4_det_infer",
        "rec": folder / "ch_PP-OCRv4_rec_infer",
        "cls": folder / "ch_ppocr_mobile_v2_cls_infer",
    }


@pytest.fixture(scope="session")
def fashion_mnist() -> Path:
    """The folder of the four Fashion-MNIST files."""
    return dataset("fashion-mnist")
