"""The example of a network of one's own, on a few images."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

import qcc
from qcc._paddle import dygraph_mode, paddle
from qcc.frontend.alignment import align
from qcc.frontend.layer import trace
from qcc.quantization import quantized_ops
from qcc.train.loop.stepper import Stepper

SPEC = [paddle.static.InputSpec([None, 1, 28, 28], name="image")]
LABEL = [paddle.static.InputSpec([None, 1], "int64", "label")]
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "own_network"


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(EXAMPLE)
    spec = importlib.util.spec_from_file_location("own_network_train", EXAMPLE / "train.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.delitem(sys.modules, "network")
    return module


def test_its_network_can_be_traced(example: ModuleType) -> None:
    weighed = [True, False, False, True, True]  # as in its table
    with dygraph_mode():
        layer = example.SmallMobileNet()
        train, test = trace(layer, SPEC, paddle.nn.CrossEntropyLoss(), LABEL), trace(layer, SPEC)
        assert align(train, test) is test
    transform = "transform{weight_type=channel_wise_abs_max}"
    model = qcc.PassManager.parse(transform).run(qcc.from_layer(layer, SPEC))
    products = 1 + sum(3 + 2 * found for found in weighed) + 2
    assert len(list(quantized_ops(model.graph))) == products


@pytest.mark.slow  # what is saved is run in the engines
# Of Paddle's own, about every batch norm that is trained in dygraph mode.
@pytest.mark.filterwarnings("ignore:When training, we now always track")
def test_it_trains_evaluates_saves_and_goes_on(
    example: ModuleType, tiny_images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["--data", str(tiny_images), "--epochs", "1", "--output", str(tmp_path)]
    with dygraph_mode():
        found = example.main(words)
        assert found["saved"] == pytest.approx(found["quantized"], abs=0.05)
        assert {path.name for path in (tmp_path / "frozen").iterdir()} == {"float", "int8", "qdq"}
        monkeypatch.setattr(Stepper, "step", None)  # what is finished is not trained again
        assert example.main(words) == found


def test_what_is_about_quantization_is_ten_lines() -> None:
    text = (EXAMPLE / "train.py").read_text()
    between = text.split(f"    # {'-' * 66}\n")[1].splitlines()
    wanted = ("import qcc  # before Paddle", "from qcc.train import fit")
    imports = [line for line in text.splitlines() if line in wanted]
    assert len(imports) == 2
    assert len(between) + len(imports) <= 10
