from __future__ import annotations

from pathlib import Path

import pytest

from qcc.errors import ConfigError
from qcc.train.config import load_config
from qcc.train.config.optimization import Adam, Momentum, OptimizerBuilder
from qcc.train.config.schedule import CosineDecay, LinearWarmup, PiecewiseDecay, Schedule

ROOT = Path(__file__).parents[3]
MINIMAL = """\
architecture: MobileNetV1
num_classes: 10
image_shape: [1, 28, 28]
LearningRate:
  base_lr: 0.1
  schedulers:
  - !PiecewiseDecay
    gamma: 0.1
    milestones: [5, 9]
  - !LinearWarmup
    steps: 3
NormalizeImage: {mean: 0.3, std: 0.4}
ClassifierTrainFeed: {batch_size: 8}
ClassifierEvalFeed: {batch_size: 8}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "config.yml"
    path.write_text(MINIMAL)
    return path


def test_reads_types_and_defaults(path: Path) -> None:
    config = load_config(path)
    assert config.image_shape == (1, 28, 28)
    assert config.mobilenet_v1.scale == 1.0
    assert config.optimizer.optimizer == Momentum(momentum=0.9)
    assert config.learning_rate.schedule() == Schedule(
        0.1, (PiecewiseDecay(0.1, (5, 9)), LinearWarmup(3, 1 / 3))
    )


def test_overrides_as_in_the_original(path: Path) -> None:
    schedulers = "LearningRate.schedulers=[!PiecewiseDecay {gamma: 0.5, milestones: [258, 516]}]"
    config = load_config(path, ["LearningRate.base_lr=1e-4", schedulers, "pretrain_weights=w.npz"])
    assert config.learning_rate.schedule() == Schedule(0.0001, (PiecewiseDecay(0.5, (258, 516)),))
    assert config.pretrain_weights == Path("w.npz")


def test_cosine_and_adam_by_override(path: Path) -> None:
    overrides = (
        "LearningRate.schedulers=[!CosineDecay {max_iters: 9, min_lr_ratio: 0.1}]",
        "OptimizerBuilder.optimizer={type: Adam, beta1: 0.8}",
        "OptimizerBuilder.clip_grad_by_norm=5",
    )
    config = load_config(path, overrides)
    assert config.learning_rate.schedule() == Schedule(0.1, (CosineDecay(9, 0.1),))
    assert config.optimizer == OptimizerBuilder(optimizer=Adam(type="Adam", beta1=0.8), clip_grad_by_norm=5.0)


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        ("{type: Adamm}", "OptimizerBuilder.optimizer: unknown type 'Adamm'; known are Momentum, SGD, Adam"),
        ("{type: Adam, beta3: 1}", "in OptimizerBuilder.optimizer: unknown key 'beta3'; did you mean 'beta"),
        ("{type: SGD, momentum: 0.9}", "in OptimizerBuilder.optimizer: unknown key 'momentum'"),
        ("Adam", "OptimizerBuilder.optimizer: it should be a mapping of keys to values, not 'Adam'"),
        ("", "option -o OptimizerBuilder.optimizer=: OptimizerBuilder.optimizer: it should be a mapping"),
        ("{momentum: 1}", "OptimizerBuilder.optimizer.momentum: it should be less than 1, not 1"),
    ],
)
def test_optimizers_know_their_own_keys_only(path: Path, optimizer: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_config(path, [f"OptimizerBuilder.optimizer={optimizer}"])
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "gamma",
            "gama",
            "config.yml, line 8: in LearningRate.schedulers[0]: unknown key 'gama'; did you mean",
        ),
        ("num_classes", "num_clases", "line 2: unknown key 'num_clases'; did you mean 'num_classes'?"),
        ("base_lr: 0.1", "base_lr: fast", "line 5: LearningRate.base_lr: it should be a valid number"),
        ("base_lr: 0.1", "base_lr: -1", "LearningRate.base_lr: it should be greater than 0, not -1"),
        ("  base_lr: 0.1\n", "", "line 4: key 'base_lr' is missing in LearningRate."),
        (
            "gamma: 0.1",
            "gamma: 1.0e+300",
            "line 5: LearningRate: base_lr, times gamma at each milestone, must",
        ),
        ("base_lr: 0.1", "base_lr: 1.0e+39", "line 5: LearningRate: base_lr, times gamma at each milestone"),
        ("[5, 9]", "[9, 5]", "LearningRate.schedulers[0]: milestones must grow"),
        ("[1, 28, 28]", "[1, 28]", "line 3: image_shape: a value is missing after the first 2"),
        ("- !LinearWarmup\n   ", "-", "LearningRate.schedulers[1]: it needs a tag, one of !PiecewiseDecay"),
        (
            "MobileNetV1",
            "MobileNetV11",
            "line 1: unknown architecture 'MobileNetV11'; did you mean 'MobileNetV1'?",
        ),
        ("architecture: MobileNetV1", "architecture: [a]", "line 1: unknown architecture '['a']'; known are"),
        ("base_lr: 0.1", "base_lr: .inf", "line 5: LearningRate.base_lr: it should be a finite number"),
        ("[5, 9]", "5", "LearningRate.schedulers[0].milestones: it should be a list, not 5."),
        ("architecture: MobileNetV1\n", "", "key 'architecture' is missing"),
    ],
)
def test_errors_name_file_line_and_key(path: Path, old: str, new: str, message: str) -> None:
    path.write_text(MINIMAL.replace(old, new, 1))
    with pytest.raises(ConfigError) as error:
        load_config(path)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("seed: true", "seed: it should be a valid integer, not True."),
        ("epochs: 2.0", "epochs: it should be a valid integer, not 2.0."),
        ("epochs: '2'", "epochs: it should be a valid integer, not '2'."),
        ("keep_checkpoints: 3.7", "keep_checkpoints: it should be a valid integer, not 3.7."),
        ('use_ema: "yes"', "use_ema: it should be a valid boolean, not 'yes'."),
        ("use_ema: 1", "use_ema: it should be a valid boolean, not 1."),
        ("ema_decay: false", "ema_decay: it should be a valid number, not False."),
        ("ema_decay: '0.9'", "ema_decay: it should be a valid number, not '0.9'."),
        (
            "save_dir: 1.5",
            "save_dir: it should be a path, in quotes where it looks like something else, not 1.5.",
        ),
        ("ClassifierEvalFeed: {batch_size: true}", "batch_size: it should be a valid integer, not True."),
    ],
)
def test_values_of_another_type_are_refused(path: Path, line: str, message: str) -> None:
    path.write_text(MINIMAL.replace("ClassifierEvalFeed: {batch_size: 8}\n", "") + line + "\n")
    with pytest.raises(ConfigError) as error:
        load_config(path)
    assert f"config.yml, line {MINIMAL.count(chr(10))}: " in str(error.value)
    assert str(error.value).endswith(message)


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-4", 1e-4), ("1E3", 1e3), ("2.5e-3", 2.5e-3), (".5e-1", 0.05), ("1.0e+1", 10.0), ("1", 1.0)],
)
def test_numbers_in_all_their_spellings(path: Path, text: str, value: float) -> None:
    path.write_text(MINIMAL.replace("base_lr: 0.1", f"base_lr: {text}"))
    assert load_config(path).learning_rate.base_lr == value
    assert load_config(path, [f"NormalizeImage.std={text}"]).normalize.std == value


def test_error_in_an_override_names_the_override(path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"^option -o MobileNetV1\.scal=1: in MobileNetV1: unknown key 'scal'"
    ):
        load_config(path, ["MobileNetV1.scal=1"])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("LearningRate.schedulers=[!PiecewiseDecay {milestones: [2, 1]}]", "milestones must grow"),
        ("OptimizerBuilder.optimizer.type=Adamm", "unknown type 'Adamm'"),
        (
            "OptimizerBuilder.optimizer.type=Adam",
            "with FILE, line 16: in OptimizerBuilder.optimizer: unknown key",
        ),
        ("DistillerOptimizer.OptimizerBuilder={}", "key 'LearningRate' is missing in DistillerOptimizer."),
        ("FloatTraining.epochs=0", "FloatTraining.epochs: it should be greater"),
        ("FloatTraining.epochs=1", "key 'LearningRate' is missing in FloatTraining."),
    ],
)
def test_what_an_override_causes_names_the_override(path: Path, override: str, message: str) -> None:
    path.write_text(MINIMAL + "OptimizerBuilder: {optimizer: {\n  momentum: 0.8}}\nFloatTraining:\n")
    with pytest.raises(ConfigError) as error:
        load_config(path, [override])
    assert str(error.value).startswith(f"option -o {override}")
    assert message.replace("FILE", str(path)) in str(error.value)


def test_of_a_rule_about_several_keys_the_overridden_one_is_named(tmp_path: Path) -> None:
    path = tmp_path / "voc.yml"
    path.write_text((ROOT / "configs/yolov3_mobilenet_v1_voc.yml").read_text())
    for override in ("YOLOv3Head.anchor_masks=[[99]]", "YoloTrainFeed.random_shapes=[33]"):
        with pytest.raises(ConfigError) as error:
            load_config(path, [override])
        assert str(error.value).startswith(f"option -o {override}: ")


def test_strides_are_counted(path: Path) -> None:
    with pytest.raises(ConfigError, match=r"MobileNetV1\.strides: it needs 14 values, not 2"):
        load_config(path, ["MobileNetV1.strides=[1, 1]"])


# The others are PaddleDetection's own, which know nothing of the float phase.
OWN = [path for path in sorted((ROOT / "configs").glob("*.yml")) if "FloatTraining:" in path.read_text()]


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.stem)
def test_shipped_configurations(path: Path) -> None:
    config = load_config(path)
    assert config.float_training is not None
