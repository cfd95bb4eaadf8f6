"""Threads share Paddle's mode and flags, what calibration listens to, and the process that tries files."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nets
import numpy as np

import qcc
from qcc._paddle import dygraph_mode, paddle, static_mode

FLAG = "FLAGS_new_executor_serial_run"


def quantized(model: qcc.Model, seed: int, folder: Path) -> dict[str, bytes]:
    """What quantizing on inputs of a magnitude of their own writes."""
    (feed,) = model.feeds
    shape = [4 if size < 0 else size for size in model.graph.var(feed).shape]
    random = np.random.default_rng(seed)
    batches = [{feed: random.normal(0, seed + 1, shape).astype("float32")} for _ in range(3)]
    qcc.save(qcc.quantize(model, batches), folder, form="qdq")
    return {file.name: file.read_bytes() for file in sorted(folder.glob("model.*"))}


def test_threads_quantize_as_one_after_the_other_would(tmp_path: Path) -> None:
    models = [nets.build(net)["test"] for net in (nets.residual_net,) * 3]
    alone = [quantized(model, seed, tmp_path / f"alone-{seed}") for seed, model in enumerate(models)]
    dynamic, flags = paddle.in_dynamic_mode(), paddle.get_flags([FLAG])

    with ThreadPoolExecutor(3) as pool:
        tried = [
            pool.submit(quantized, model, seed, tmp_path / f"{turn}-{seed}")
            for turn in range(3)
            for seed, model in enumerate(models)
        ]

    assert [one.result() for one in tried] == alone * 3
    assert (paddle.in_dynamic_mode(), paddle.get_flags([FLAG])) == (dynamic, flags)


def test_a_mode_is_kept_from_other_threads() -> None:
    with ThreadPoolExecutor(1) as pool:
        with static_mode():
            other = pool.submit(_in_dygraph)
            assert not paddle.in_dynamic_mode()
            assert not other.done()
        assert other.result() is True


def _in_dygraph() -> bool:
    with dygraph_mode():
        return bool(paddle.in_dynamic_mode())
