from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from qcc._paddle import paddle
from qcc.errors import CheckpointError, ConfigError
from qcc.train.models.classifier import build_classifier
from qcc.train.models.network import Network
from qcc.train.programs.scope import read_scope
from qcc.train.programs.weights import initialise, load_weights, put_known_weights, put_weights, save_arrays

NAMES = ["fc_0.b_0", "fc_0.w_0"]


def network() -> Network:
    return build_classifier(lambda image: paddle.static.nn.fc(image, 3), (1, 2, 2))


def test_npz_round_trip_has_equal_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = {"b/x@scale": np.arange(3, dtype=np.float32), "a": np.array(2, np.int64)}
    save_arrays(tmp_path / "one.npz", arrays)
    read = load_weights(tmp_path / "one.npz")
    assert read.keys() == arrays.keys()
    np.testing.assert_array_equal(read["b/x@scale"], arrays["b/x@scale"])
    monkeypatch.setattr(time, "time", lambda: 2_000_000_000.0)
    save_arrays(tmp_path / "two.npz", dict(reversed(arrays.items())))
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()


def test_pickled_content_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "bad.npz", w=np.array([{}], dtype=object))
    with pytest.raises(CheckpointError, match=r"bad\.npz is no whole \.npz file"):
        load_weights(tmp_path / "bad.npz")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"text"])
def test_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.npz").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"bad\.npz is no whole"):
        load_weights(tmp_path / "bad.npz")


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"none\.npz does not exist"):
        load_weights(tmp_path / "none.npz")


def test_first_values_depend_on_the_seed() -> None:
    def first(seed: int) -> np.ndarray:
        scope = paddle.static.Scope()
        initialise(network(), scope, seed)
        return read_scope(scope, NAMES)["fc_0.w_0"]

    np.testing.assert_array_equal(first(1), first(1))
    assert not np.array_equal(first(1), first(2))


def test_put_weights_checks_names_and_shapes() -> None:
    scope, source = paddle.static.Scope(), Path("w.npz")
    weights = {"fc_0.w_0": np.ones((4, 3), np.float32), "fc_0.b_0": np.ones(3, np.float32)}
    put_weights(network(), scope, {**weights, "more": np.ones(1)}, source)
    np.testing.assert_array_equal(read_scope(scope, NAMES)["fc_0.w_0"], 1)
    with pytest.raises(
        CheckpointError, match=r"w\.npz lacks 1 of the network's 2 weights, the first is 'fc_0\.b_0'"
    ):
        put_weights(network(), scope, {"fc_0.w_0": weights["fc_0.w_0"]}, source)
    with pytest.raises(
        CheckpointError, match=r"'fc_0\.w_0' has shape \[5, 3\] where the network has \[4, 3\]"
    ):
        put_weights(network(), scope, {**weights, "fc_0.w_0": np.ones((5, 3))}, source)
    with pytest.raises(CheckpointError, match=r"'fc_0\.b_0' is complex64 where the network has float32"):
        put_weights(network(), scope, {**weights, "fc_0.b_0": np.ones(3, np.complex64)}, source)


def test_web_addresses_are_not_fetched() -> None:
    with pytest.raises(
        ConfigError, match=r"web address http://example\.com/weights\.tar, and qcc fetches none"
    ):
        load_weights(Path("http://example.com/weights.tar"))


def test_known_weights_are_taken_and_others_are_not() -> None:
    network = build_classifier(
        lambda image: paddle.static.nn.fc(image, 2, weight_attr="w", bias_attr="b"), (1, 2, 2)
    )
    scope = paddle.static.Scope()
    initialise(network, scope, 0)
    taken = np.full((4, 2), 3, np.float32)
    weights = {"w": taken, "b": np.zeros(3, np.float32), "other": np.zeros(3, np.float32)}

    others = put_known_weights(network, scope, weights, Path("some.npz"))

    assert others == ["b"]
    assert np.array_equal(read_scope(scope, ["w"])["w"], taken)
    with pytest.raises(CheckpointError, match=r"some\.npz holds none of the network's weights"):
        put_known_weights(network, scope, {"other": taken, "w": taken.T}, Path("some.npz"))
