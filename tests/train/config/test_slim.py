from __future__ import annotations

from pathlib import Path

import pytest

from qcc.errors import ConfigError
from qcc.train.config import QuantizationStrategy, load_slim
from qcc.train.config.slim import default_slim

ROOT = Path(__file__).parents[3]
# PaddleDetection release/0.1, slim/quantization/yolov3_mobilenet_v1_slim.yaml
ORIGINAL = """\
version: 1.0
strategies:
    quantization_strategy:
        class: 'QuantizationStrategy'
        start_epoch: 0
        end_epoch: 4 
        float_model_save_path: './output/yolov3/float'
        mobile_model_save_path: './output/yolov3/mobile'
        int8_model_save_path: './output/yolov3/int8'
        weight_bits: 8
        activation_bits: 8
        weight_quantize_type: 'abs_max'
        activation_quantize_type: 'moving_average_abs_max'
        save_in_nodes: ['image', 'im_size']
        save_out_nodes: ['multiclass_nms_0.tmp_0']
compressor:
    epoch: 5
    checkpoint_path: './checkpoints/yolov3/'
    strategies:
        - quantization_strategy
"""  # noqa: W291


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "slim.yaml"
    path.write_text(ORIGINAL)
    return path


def test_reads_the_original_unchanged(path: Path) -> None:
    slim = load_slim(path)
    assert slim.epochs == 5
    assert slim.strategy.end_epoch == 4
    assert slim.strategy.weight_quantize_type == "abs_max"
    assert slim.strategy.activation_quantize_type == "moving_average_abs_max"
    assert slim.strategy.save_in_nodes == ("image", "im_size")
    assert slim.strategy.save_out_nodes == ("multiclass_nms_0.tmp_0",)
    assert slim.strategy.int8_model_save_path == Path("output/yolov3/int8")
    assert slim.compressor.checkpoint_path == Path("checkpoints/yolov3")
    assert slim.compressor.eval_epoch == 1


def test_the_word_none_is_no_value(path: Path) -> None:
    path.write_text(ORIGINAL.replace("'./output/yolov3/float'", "none"))
    assert load_slim(path).strategy.float_model_save_path is None


def test_defaults_are_those_of_the_class(path: Path) -> None:
    path.write_text("strategies: {q: {class: QuantizationStrategy}}\ncompressor: {strategies: [q]}\n")
    slim = load_slim(path)
    assert (slim.strategy.start_epoch, slim.strategy.end_epoch, slim.epochs) == (0, 0, 1)
    assert (slim.strategy.weight_bits, slim.strategy.activation_bits) == (8, 8)
    assert slim.strategy.weight_quantize_type == slim.strategy.activation_quantize_type == "abs_max"
    assert slim.strategy.save_out_nodes is None


def test_epochs_are_raised_to_hold_the_last_epoch_of_the_strategy(path: Path) -> None:
    path.write_text(ORIGINAL.replace("epoch: 5", "epoch: 2"))
    assert load_slim(path).epochs == 5


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "weight_bits",
            "weigth_bits",
            "slim.yaml, line 10: in strategies.quantization_strategy: unknown key",
        ),
        ("weight_bits", "weigth_bits", "did you mean 'weight_bits'?"),
        (
            "weight_bits: 8",
            "weight_bits: 1",
            "line 10: strategies.quantization_strategy.weight_bits: it should be",
        ),
        ("weight_bits: 8", "weight_bits: none", "strategies.quantization_strategy.weight_bits: it should be"),
        ("'abs_max'", "'absmax'", "it should be 'abs_max', 'channel_wise_abs_max'"),
        ("'moving_average_abs_max'", "'channel_wise_abs_max'", "it should be 'abs_max', 'range_abs_max' or"),
        ("start_epoch: 0", "start_epoch: 7", "end_epoch 4 lies before start_epoch 7"),
        (
            "weight_bits: 8",
            "weight_bits: 9",
            "INT8 holds weights of at most 8 bits",
        ),
        (
            "'QuantizationStrategy'",
            "'PruneStrategy'",
            "line 4: unknown class 'PruneStrategy'; did you mean 'QuantizationStrategy'?",
        ),
        ("'QuantizationStrategy'", "[Q]", "line 4: unknown class '['Q']'; known are"),
        (
            "class: 'QuantizationStrategy'",
            "a: 1",
            "line 3: strategy 'quantization_strategy' needs the key class",
        ),
        (
            "- quantization_strategy",
            "- quantisation_strategy",
            "line 20: unknown strategy 'quantisation_strategy'",
        ),
        ("- quantization_strategy", "[]", "line 19: the last of compressor.strategies must be a Quant"),
        ("epoch: 5", "epoch: true", "line 17: compressor.epoch: it should be a valid integer, not True."),
        ("weight_bits: 8", "weight_bits: 8.0", "weight_bits: it should be a valid integer, not 8.0."),
        ("epoch: 5", "epoch: many", "line 17: compressor.epoch: it should be a valid integer"),
        ("version: 1.0", "version: 2.0", "line 1: version: it should be less than or equal to 1"),
        ("compressor:", "compresor:", "line 16: unknown key 'compresor'; did you mean 'compressor'?"),
    ],
)
def test_errors_name_file_line_and_key(path: Path, old: str, new: str, message: str) -> None:
    path.write_text(ORIGINAL.replace(old, new, 1))
    with pytest.raises(ConfigError) as error:
        load_slim(path)
    assert message in str(error.value)


def test_sections_know_where_they_stand(path: Path) -> None:
    path.write_text(ORIGINAL)
    slim = load_slim(path)
    name = f"{path}, line 15: strategies.quantization_strategy.save_out_nodes[0]"
    assert slim.strategy.where("save_out_nodes", 0) == name
    assert slim.compressor.where("prune_infer_model") == f"{path}, line 16: compressor.prune_infer_model"
    assert QuantizationStrategy().where("save_in_nodes", 1) == "save_in_nodes[1]"

    # Two that say the same are equal, wherever they stand.
    path.write_text("\n" + ORIGINAL)
    assert load_slim(path) == slim
    assert slim.strategy.model_copy(update={"start_epoch": 1}) != slim.strategy


def test_include(path: Path, tmp_path: Path) -> None:
    path.write_text("include: common.yaml\ncompressor: {epoch: 3, strategies: [q]}\n")
    common = tmp_path / "common.yaml"
    common.write_text("strategies:\n  q: {class: QuantizationStrategy, weight_bits: 4}\n")
    assert load_slim(path).strategy.weight_bits == 4

    common.write_text("strategies:\n  q: {class: QuantizationStrategy, bits: 4}\n")
    with pytest.raises(ConfigError, match=r"common\.yaml, line 2: in strategies\.q: unknown key 'bits'"):
        load_slim(path)

    common.unlink()
    with pytest.raises(ConfigError, match=r"slim\.yaml, line 1: include: there is no file .*common\.yaml"):
        load_slim(path)

    common.write_text("include: slim.yaml\n")
    with pytest.raises(ConfigError, match=r"common\.yaml, line 1: slim\.yaml includes itself"):
        load_slim(path)


def test_files_that_include_the_same_ones(path: Path, tmp_path: Path) -> None:
    path.write_text("include: [0.yaml]\ncompressor: {epoch: 3, strategies: [q]}\n")
    for number in range(40):  # each twice: 2 ** 40 readings, were it read anew each time
        (tmp_path / f"{number}.yaml").write_text(f"include: [{number + 1}.yaml, ./{number + 1}.yaml]\n")
    (tmp_path / "40.yaml").write_text("strategies:\n  q: {class: QuantizationStrategy, weight_bits: 4}\n")

    assert load_slim(path).strategy.weight_bits == 4


def test_include_cannot_redefine(path: Path, tmp_path: Path) -> None:
    path.write_text("include: [common.yaml]\n" + ORIGINAL)
    (tmp_path / "common.yaml").write_text(
        "strategies:\n  quantization_strategy: {class: QuantizationStrategy}\n"
    )
    with pytest.raises(ConfigError, match="is defined in an included file, too"):
        load_slim(path)


def test_default_covers_all_epochs() -> None:
    slim = default_slim(3)
    assert (slim.epochs, slim.strategy.start_epoch, slim.strategy.end_epoch) == (3, 0, 2)


@pytest.mark.parametrize(
    "path", sorted((ROOT / "configs" / "slim").glob("weight_*.yaml")), ids=lambda path: path.stem
)
def test_shipped_slim_files_do_what_their_names_say(path: Path) -> None:
    strategy = load_slim(path).strategy
    assert path.stem == f"weight_{strategy.weight_quantize_type}_act_{strategy.activation_quantize_type}"


# The grammar of Paddle 1.6's distillation demos, with a quantization strategy behind.
DISTILLING = """\
distillers:
  maps:
    class: 'L2Distiller'
    student_feature_map: 'a'
    teacher_feature_map: 'b'
    distillation_loss_weight: 2
  labels: {class: SoftLabelDistiller, student_feature_map: c, teacher_feature_map: d, teacher_temperature: 4}
  flows:
    class: 'FSPDistiller'
    student_pairs: [['e', 'f']]
    teacher_pairs: [['g', 'h']]
strategies:
  distil:
    class: 'DistillationStrategy'
    distillers: ['maps', 'flows']
    start_epoch: 0
    end_epoch: 3
  later: {class: DistillationStrategy, distillers: [labels], start_epoch: 3, end_epoch: 6}
  quantize: {class: QuantizationStrategy, start_epoch: 1, end_epoch: 3}
compressor:
  strategies: [distil, later, quantize]
"""


def test_distillation_before_and_along_with_quantization(path: Path) -> None:
    path.write_text(DISTILLING)
    slim = load_slim(path)
    assert slim.epochs == 6
    assert slim.strategy.end_epoch == 3
    kinds = [
        None if found is None else [distiller.kind for distiller in found.distillers]
        for found in map(slim.distillation, range(7))
    ]
    first, second = ["L2Distiller", "FSPDistiller"], ["SoftLabelDistiller"]
    assert kinds == [first, first, first, second, second, second, None]
    labels = slim.distillations[1].distillers[0]
    assert (labels.student_temperature, labels.teacher_temperature) == (1, 4)
    assert slim.distillations[0].distillers[0].distillation_loss_weight == 2


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "[distil, later, quantize]",
            "[quantize, distil]",
            "line 21: the last of compressor.strategies must",
        ),
        ("[distil, later, quantize]", "[quantize, quantize]", "names several QuantizationStrategies"),
        ("start_epoch: 3, end", "start_epoch: 2, end", "two DistillationStrategies cover epoch 2; let one"),
        ("['maps', 'flows']", "['maps', 'flow']", "unknown distiller 'flow'; did you mean 'flows'?"),
        ("['maps', 'flows']", "[]", "strategies.distil.distillers: it needs 1 values, not 0"),
        ("start_epoch: 0", "start_epoch: 3", "end_epoch 3, the first epoch without distillation, must lie"),
        ("'L2Distiller'", "'L1Distiller'", "line 3: unknown class 'L1Distiller'; did you mean 'L2Distiller'"),
        ("[['g', 'h']]", "[['g', 'h'], ['i', 'j']]", "there are 1 student_pairs, but 2 teacher_pairs"),
        ("student_feature_map: 'a'", "feature_map: 'a'", "unknown key 'feature_map'; did you mean"),
    ],
)
def test_errors_of_distillation(path: Path, old: str, new: str, message: str) -> None:
    path.write_text(DISTILLING.replace(old, new, 1))
    with pytest.raises(ConfigError) as error:
        load_slim(path)
    assert message in str(error.value)
