"""Quantization-aware training of a pruned network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from broken_runs import assert_equal_states, final_state
from broken_runs import run as quantize
from pruned import CONFIG, SOURCE, hand_built, prune, scores
from tiny import distilling_slim, write_slim

import qcc
from qcc.cli.main import run as command
from qcc.errors import CheckpointError
from qcc.train.loop.checkpoint import CheckpointStore
from qcc.train.programs.scope import Arrays
from qcc.train.programs.weights import float_model, load_weights, save_arrays

SCHEME = {
    "weight_quantize_type": "channel_wise_abs_max",
    "activation_quantize_type": "moving_average_abs_max",
}


@pytest.fixture(scope="module")
def pruned() -> Arrays:
    return prune(load_weights(SOURCE), 3)


@pytest.fixture
def options(tiny_images: Path, tmp_path: Path) -> list[str]:
    """Overrides of the configuration for a few steps on the tiny images."""
    return [
        f"save_dir={tmp_path}",
        f"ClassifierTrainFeed.dataset.dataset_dir={tiny_images}",
        f"ClassifierEvalFeed.dataset.dataset_dir={tiny_images}",
        "ClassifierTrainFeed.batch_size=16",
    ]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, pruned: Arrays) -> Path:
    path = tmp_path_factory.mktemp("weights") / "pruned.npz"
    save_arrays(path, pruned)
    return path


def starting_from(source: Path, slim: Path) -> Path:
    """The slim file, changed."""
    slim.write_text(slim.read_text().replace("compressor:\n", f"compressor:\n  init_model: {source}\n"))
    return slim


def test_pruned_and_quantized(options: list[str], source: Path, pruned: Arrays, tmp_path: Path) -> None:
    """With a learning rate too small to move anything, what is saved is the network built by hand."""
    forms = {f"{form}_model_save_path": tmp_path / form for form in ("float", "int8", "mobile")}
    slim = write_slim(tmp_path / "run", 2, start_epoch=1, end_epoch=1, **SCHEME, **forms)
    printed = quantize(
        CONFIG, starting_from(source, slim), overrides=[*options, "LearningRate.base_lr=1e-30"]
    )
    assert f"126 of 137 weights have other shapes in {source} than in the configuration's network" in printed

    model = qcc.load(tmp_path / "run" / "0" / "eval_model")
    weights = {name: array for name, array in model.weights.items() if name in pruned}
    assert weights.keys() == pruned.keys()
    for name, array in weights.items():
        assert array.shape == pruned[name].shape
        if "_bn_" not in name:
            np.testing.assert_array_equal(array, pruned[name])
    np.testing.assert_array_equal(scores(model), scores(float_model(hand_built(pruned), weights, source)))

    evaluated = qcc.load(tmp_path / "run" / "1" / "eval_model")
    # A value between two steps may be rounded to either.
    for form in ("float", "int8"):
        np.testing.assert_allclose(scores(qcc.load(tmp_path / form)), scores(evaluated), atol=2e-2)
    integers = qcc.load(tmp_path / "int8").weights["conv6_sep_weights.int8"]
    assert (integers.dtype, integers.shape) == (np.int8, pruned["conv6_sep_weights"].shape)
    assert (tmp_path / "mobile" / "model.nb").exists()
    again = tmp_path / "again"
    assert command(["freeze", "--checkpoint", str(tmp_path / "run"), "--save", str(again)]) == 0
    words = [word for option in options for word in ("-o", option)]
    for form in ("float", "int8", "qdq"):
        np.testing.assert_allclose(scores(qcc.load(again / form)), scores(evaluated), atol=2e-2)
        assert command(["eval", str(again / form), "-c", str(CONFIG), *words]) == 0
    assert command(["eval", str(tmp_path / "run"), "--all-epochs", "-c", str(CONFIG), *words]) == 0


@pytest.mark.slow
def test_it_goes_on_after_a_kill(options: list[str], source: Path, tmp_path: Path) -> None:
    slims = [
        starting_from(source, write_slim(tmp_path / name, 2, start_epoch=1, end_epoch=1, **SCHEME))
        for name in ("whole", "broken")
    ]
    quantize(CONFIG, slims[0], overrides=options)
    for where, kill in (((0, 2), False), ((1, 0), True), ((1, 2), False)):
        quantize(CONFIG, slims[1], where, kill=kill, overrides=options)
    printed = quantize(CONFIG, slims[1], overrides=options)
    assert "126 of 137 weights have other shapes" in printed
    assert_equal_states(final_state(tmp_path / "whole"), final_state(tmp_path / "broken"))


def test_it_goes_on_with_the_same_shapes_only(options: list[str], source: Path, tmp_path: Path) -> None:
    quantize(CONFIG, starting_from(source, write_slim(tmp_path / "run", 1, **SCHEME)), overrides=options)
    for other in (write_slim(tmp_path / "run", 2, **SCHEME), starting_from(SOURCE, tmp_path / "run.yaml")):
        with pytest.raises(CheckpointError, match="the checkpoint is that of another network"):
            quantize(CONFIG, other, overrides=options)


@pytest.mark.slow
def test_a_teacher_that_is_not_pruned(options: list[str], source: Path, tmp_path: Path) -> None:
    """By `teacher_weights` alone, since its network is the one that the configuration describes."""
    slim = starting_from(source, distilling_slim(tmp_path / "run", f", teacher_weights: {SOURCE}"))
    quantize(CONFIG, slim, overrides=options)
    state = final_state(tmp_path / "run")
    assert state.arrays["conv6_sep_weights"].shape == load_weights(source)["conv6_sep_weights"].shape
    assert state.history[0]["train_distillation"] > 0.1
    assert load_weights(SOURCE)["conv6_sep_weights"].shape == (256, 256, 1, 1)


@pytest.mark.slow
def test_a_pruned_network_is_its_own_teacher(options: list[str], source: Path, tmp_path: Path) -> None:
    quantize(CONFIG, starting_from(source, distilling_slim(tmp_path / "run")), overrides=options)
    assert final_state(tmp_path / "run").history[0]["train_distillation"] > 0


def test_pretrain_weights_give_no_shapes(options: list[str], source: Path, tmp_path: Path) -> None:
    slim, other = write_slim(tmp_path / "run", 1, **SCHEME), tmp_path / "other.npz"
    with pytest.raises(CheckpointError) as error:
        quantize(CONFIG, slim, overrides=[*options, f"pretrain_weights={source}"])
    assert str(error.value).endswith(
        "it belongs to another network, or to one of another width or number of classes; given as"
        " compressor.init_model of a slim file,"
        " it gives its shapes to the network."
    )
    save_arrays(other, load_weights(SOURCE) | {"fc7_offset": np.zeros(9, np.float32)})
    with pytest.raises(CheckpointError, match=r"or to one of another width or number of classes\.$"):
        quantize(CONFIG, slim, overrides=[*options, f"pretrain_weights={other}"])


def test_shapes_that_do_not_fit_are_refused_before_training(
    options: list[str], pruned: Arrays, tmp_path: Path
) -> None:
    other = tmp_path / "other.npz"
    save_arrays(other, pruned | {"conv4_2_dw_bn_mean": pruned["conv4_2_dw_bn_mean"][1:]})
    with pytest.raises(CheckpointError, match=r"other\.npz: 'conv4_2_dw_bn_mean' has shape"):
        quantize(CONFIG, starting_from(other, write_slim(tmp_path / "run", 1)), overrides=options)
    assert CheckpointStore(tmp_path / "run").epochs() == []
