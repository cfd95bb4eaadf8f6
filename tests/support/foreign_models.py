"""Quantized models as Paddle's and PaddleSlim's own tools make and save them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from paddle.base import core
from paddle.base.framework import IrGraph
from paddle.static.quantization import (
    AddQuantDequantPass,
    AddQuantDequantPassV2,
    OutScaleForInferencePass,
    OutScaleForTrainingPass,
    PostTrainingQuantization,
    QuantizationFreezePass,
    QuantizationTransformPass,
    QuantizationTransformPassV2,
    QuantWeightPass,
    ReplaceFakeQuantDequantPass,
    WeightQuantization,
)
from saved_models import MAJOR

from qcc._paddle import paddle
from qcc.model import Model

static = paddle.static
functional = paddle.nn.functional
PLACE = paddle.CPUPlace()
SHAPE = (3, 8, 8)
WITH_WEIGHT = ["conv2d", "depthwise_conv2d", "mul", "matmul_v2"]
WITHOUT_WEIGHT = ["elementwise_add", "pool2d"]

Programs = tuple[Any, Any, Any, Any, Any]


def batch(seed: int = 0, size: int = 2) -> np.ndarray:
    """Inputs of the network, float32 [size, 3, 8, 8]."""
    return np.random.default_rng(seed).standard_normal((size, *SHAPE)).astype(np.float32)


class Samples(paddle.io.Dataset):  # type: ignore[name-defined,misc]
    """Eight inputs, for calibration."""

    def __getitem__(self, index: int) -> tuple[np.ndarray]:
        return (batch(index, 1)[0],)

    def __len__(self) -> int:
        return 8


def loader() -> Any:
    """The inputs as Paddle's post-training tools want them."""
    with static.program_guard(static.Program()):
        feed = static.data("x", [-1, *SHAPE])
    return paddle.io.DataLoader(Samples(), [feed], PLACE, batch_size=2, return_list=False)


# ---------------------------------------------------------------------- the network


def network(x: Any) -> Any:
    """Convolution, depthwise, residual add, pooling, fc (mul) and linear (matmul_v2)."""
    first = functional.relu(static.nn.batch_norm(static.nn.conv2d(x, 4, 3, padding=1, bias_attr=False)))
    depthwise = functional.relu(static.nn.conv2d(first, 4, 3, padding=1, groups=4, use_cudnn=False))
    joined = functional.relu(first + static.nn.conv2d(depthwise, 4, 1))
    pooled = functional.max_pool2d(joined, 2)
    hidden = functional.relu(static.nn.fc(pooled, 8))
    weight = static.create_parameter([8, 5], "float32", name="linear_weight")
    return functional.softmax(paddle.matmul(hidden, weight))


def build(layers: Callable[[Any], Any] = network, shape: tuple[int, ...] = SHAPE) -> Programs:
    """Training program, test program, scope, feed and fetch; the weights do not depend on the process."""
    main, startup, scope = static.Program(), static.Program(), static.Scope()
    with paddle.utils.unique_name.guard(), static.program_guard(main, startup):
        x = static.data("x", [-1, *shape])
        out = layers(x)
        test = main.clone(for_test=True)
        loss = paddle.mean(out * out)
        paddle.optimizer.SGD(0.01).minimize(loss)
    with static.scope_guard(scope):
        static.Executor(PLACE).run(startup)
    rng = np.random.default_rng(1)
    for parameter in main.all_parameters():
        if "batch_norm" not in parameter.name:
            value = rng.standard_normal(parameter.shape) / np.sqrt(max(1, np.prod(parameter.shape[1:])))
            scope.find_var(parameter.name).get_tensor().set(value.astype(np.float32), PLACE)
    return main, test, scope, x.name, out.name


def save(program: Any, scope: Any, feed: str, fetch: str, prefix: Path) -> Path:
    block = program.global_block()
    with static.scope_guard(scope), paddle.utils.unique_name.guard():
        static.save_inference_model(
            str(prefix), [block.var(feed)], [block.var(fetch)], static.Executor(PLACE), program=program
        )
    return prefix


def save_float(folder: Path) -> Path:
    _, test, scope, feed, fetch = build()
    return save(test, scope, feed, fetch, folder / "float")


# ---------------------------------------------------------------------- after training


def ptq(folder: Path, **options: Any) -> Path:
    """`PostTrainingQuantization`."""
    save_float(folder)
    scope = static.Scope()
    with static.scope_guard(scope), paddle.utils.unique_name.guard():
        tool = PostTrainingQuantization(
            **{
                "executor": static.Executor(PLACE),
                "scope": scope,
                "model_dir": str(folder),
                "model_filename": "float.pdmodel",
                "params_filename": "float.pdiparams",
                "data_loader": loader(),
                "batch_size": 2,
                "batch_nums": 4,
                "quantizable_op_type": WITH_WEIGHT,
                **options,
            }
        )
        tool.quantize()
        tool.save_quantized_model(str(folder), "model.pdmodel", "model.pdiparams")
    return folder / "model"


def slim_ptq(folder: Path, **options: Any) -> Path:
    """`paddleslim.quant.quant_post_static`."""
    pytest.importorskip("paddleslim", reason="paddleslim is not installed; it needs Paddle 2")
    from paddleslim.quant import quant_post_static

    save_float(folder)
    scope = static.Scope()
    with static.scope_guard(scope), paddle.utils.unique_name.guard():
        quant_post_static(
            static.Executor(PLACE),
            str(folder),
            str(folder / "out"),
            data_loader=loader(),
            model_filename="float.pdmodel",
            params_filename="float.pdiparams",
            batch_size=2,
            batch_nums=4,
            scope=scope,
            **options,
        )
    return folder / "out" / "model"


def weight_only(folder: Path, form: str = "quantized_model", **options: Any) -> Path:
    """`WeightQuantization`: INT8 weights in the parameters, and float32 in the program."""
    save_float(folder)
    with static.scope_guard(static.Scope()), paddle.utils.unique_name.guard():
        WeightQuantization(str(folder), "float.pdmodel", "float.pdiparams").quantize_weight_to_int(
            str(folder),
            "model.pdmodel",
            "model.pdiparams",
            quantizable_op_type=["conv2d", "depthwise_conv2d", "mul"],
            generate_test_model=True,
            **options,
        )
    return folder / form / "model"


# ---------------------------------------------------------------------- trained


def slim_qat(folder: Path, onnx_format: bool, **config: Any) -> Path:
    """`quant_aware`, a few steps, `convert`."""
    pytest.importorskip("paddleslim", reason="paddleslim is not installed; it needs Paddle 2")
    from paddleslim.quant import convert, quant_aware

    main, test, scope, feed, fetch = build()
    options = {"onnx_format": onnx_format, "quantize_op_types": WITH_WEIGHT, **config}
    with static.scope_guard(scope), paddle.utils.unique_name.guard("qat"):
        train = quant_aware(main, PLACE, options, scope=scope, for_test=False)
        tested = quant_aware(test, PLACE, options, scope=scope, for_test=True)
        executor = static.Executor(PLACE)
        for seed in range(4):
            executor.run(train, feed={feed: batch(seed)}, fetch_list=[])
        frozen = convert(tested, PLACE, options, scope=scope)
        frozen = frozen[0] if isinstance(frozen, tuple) else frozen
    return save(frozen, scope, feed, fetch, folder / "model")


def passes(folder: Path, *, linear: bool, until: str = "frozen", weight: str, activation: str) -> Path:
    """The passes of `paddle.static.quantization`, one by one; `linear` are their V2."""
    main, test, scope, feed, fetch = build()
    graphs = {True: IrGraph(core.Graph(test.desc), for_test=True)}
    graphs[False] = IrGraph(core.Graph(main.desc), for_test=False)
    insert = QuantizationTransformPassV2 if linear else QuantizationTransformPass
    fused = AddQuantDequantPassV2 if linear else AddQuantDequantPass
    executor = static.Executor(PLACE)
    with static.scope_guard(scope), paddle.utils.unique_name.guard("qat"):
        for for_test, graph in graphs.items():
            insert(
                scope,
                PLACE,
                weight_quantize_type=weight,
                activation_quantize_type=activation,
                quantizable_op_type=WITH_WEIGHT,
                is_test=for_test,
            ).apply(graph)
            fused(scope, PLACE, quantizable_op_type=WITHOUT_WEIGHT, is_test=for_test).apply(graph)
        if not linear:
            OutScaleForTrainingPass(scope, PLACE).apply(graphs[False])
        train, graph = graphs[False].to_program(), graphs[True]
        for seed in range(4):
            executor.run(train, feed={feed: batch(seed)}, fetch_list=[])
        # The scales of weights are those of the last run.
        executor.run(graph.to_program(), feed={feed: batch()}, fetch_list=[])
        if until == "frozen" and linear:
            ReplaceFakeQuantDequantPass(scope, PLACE).apply(graph)
            QuantWeightPass(scope, PLACE).apply(graph)
        elif until == "frozen":
            QuantizationFreezePass(scope, PLACE, weight_quantize_type=weight).apply(graph)
            OutScaleForInferencePass(scope).apply(graph)
    return save(graph.to_program(), scope, feed, fetch, folder / "model")


# ---------------------------------------------------------------------- from dynamic graphs


def dygraph_net() -> Any:
    nn = paddle.nn

    class Net(nn.Layer):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2D(3, 4, 3, padding=1), nn.BatchNorm2D(4)
            self.relu, self.depthwise = nn.ReLU(), nn.Conv2D(4, 4, 3, padding=1, groups=4)
            self.pool, self.fc = nn.MaxPool2D(2), nn.Linear(64, 5)

        def forward(self, x: Any) -> Any:
            x = self.relu(self.norm(self.conv(x)))
            x = self.pool(self.relu(self.depthwise(x)) + x)
            return self.fc(paddle.flatten(x, 1))

    return Net()


def imperative_qat(folder: Path, onnx_format: bool) -> Path:
    """`ImperativeQuantAware` and its `save_quantized_model`."""
    from paddle.quantization import ImperativeQuantAware

    paddle.disable_static()
    try:
        with paddle.utils.unique_name.guard():
            paddle.seed(1)
            net = dygraph_net()
            tool = ImperativeQuantAware(weight_quantize_type="channel_wise_abs_max", onnx_format=onnx_format)
            tool.quantize(net)
            optimizer = paddle.optimizer.SGD(0.01, parameters=net.parameters())
            for seed in range(4):
                loss = (net(paddle.to_tensor(batch(seed))) ** 2).mean()
                loss.backward()
                optimizer.step()
                optimizer.clear_grad()
            net.eval()
            spec = [static.InputSpec([None, *SHAPE], "float32", "x")]
            tool.save_quantized_model(net, str(folder / "model"), input_spec=spec)
    finally:
        paddle.enable_static()
    return folder / "model"


def imperative_ptq(folder: Path) -> Path:
    """`ImperativePTQ` and its `save_quantized_model`."""
    from paddle.quantization import ImperativePTQ

    paddle.disable_static()
    try:
        with paddle.utils.unique_name.guard():
            paddle.seed(1)
            net = dygraph_net()
            net.eval()
            tool = ImperativePTQ()
            quantized = tool.quantize(net, inplace=False)
            for seed in range(4):
                quantized(paddle.to_tensor(batch(seed)))
            spec = [static.InputSpec([None, *SHAPE], "float32", "x")]
            tool.save_quantized_model(quantized, str(folder / "model"), input_spec=spec)
    finally:
        paddle.enable_static()
    return folder / "model"


def dygraph_qat(folder: Path, *, ptq: bool = False, weights_only: bool = False) -> Path:
    """`paddle.quantization.QAT` (or `PTQ`), `convert` and paddle.jit.save."""
    if MAJOR >= 3:
        pytest.skip("convert of Paddle 3's paddle.quantization fails: its quanters have no zero point")
    from paddle.quantization import PTQ, QAT, QuantConfig
    from paddle.quantization.observers import AbsmaxObserver
    from paddle.quantization.quanters import FakeQuanterWithAbsMaxObserver

    paddle.disable_static()
    try:
        with paddle.utils.unique_name.guard():
            paddle.seed(1)
            net = dygraph_net()
            quanter = AbsmaxObserver(quant_bits=8) if ptq else FakeQuanterWithAbsMaxObserver(moving_rate=0.9)
            config = QuantConfig(activation=None, weight=None)
            layers = [paddle.nn.Conv2D, paddle.nn.Linear]
            config.add_type_config(layers, activation=None if weights_only else quanter, weight=quanter)
            tool = (PTQ if ptq else QAT)(config)
            if ptq:
                net.eval()
            quantized = tool.quantize(net, inplace=True)
            for seed in range(4):
                quantized(paddle.to_tensor(batch(seed)))
            quantized.eval()
            converted = tool.convert(quantized, inplace=True)
            spec = [static.InputSpec([None, *SHAPE], "float32", "x")]
            paddle.jit.save(converted, str(folder / "model"), spec)
    finally:
        paddle.enable_static()
    return folder / "model"


# ---------------------------------------------------------------------- without what the tools note


def strip_marks(model: Model) -> Model:
    """The model without the attributes by which tools know ops that they have quantized."""
    bare = model.copy()
    for op in bare.graph.ops:
        for name in ("quantization_type", "with_quant_attr", "out_threshold", "activation_bits"):
            bare.graph.remove_attr(op, name)
    return bare


# ---------------------------------------------------------------------- all of them

Maker = Callable[[Path], Path]
CHANNELS, TENSOR = "channel_wise_abs_max", "abs_max"
MOVING = "moving_average_abs_max"

MODELS: dict[str, Maker] = {
    "ptq_abs_max": partial(ptq, algo="abs_max"),
    "ptq_avg": partial(ptq, algo="avg"),
    "ptq_hist_per_tensor": partial(ptq, algo="hist", weight_quantize_type=TENSOR),
    "ptq_kl_full": partial(ptq, algo="KL", is_full_quantize=True),
    "ptq_mse": partial(ptq, algo="mse", activation_quantize_type=MOVING),
    "ptq_min_max": partial(ptq, algo="min_max"),
    "ptq_adaround": partial(ptq, algo="abs_max", round_type="adaround"),
    "ptq_arm": partial(ptq, algo="abs_max", onnx_format=True, deploy_backend="arm", quantizable_op_type=None),
    "ptq_onnx": partial(ptq, algo="avg", onnx_format=True),
    "ptq_onnx_per_tensor": partial(ptq, algo="hist", onnx_format=True, weight_quantize_type=TENSOR),
    "ptq_onnx_full": partial(ptq, algo="mse", onnx_format=True, is_full_quantize=True),
    "ptq_optimized": partial(ptq, algo="avg", onnx_format=True, optimize_model=True),
    "slim_ptq": partial(slim_ptq),
    "slim_ptq_old": partial(slim_ptq, onnx_format=False),
    "slim_ptq_biased": partial(slim_ptq, onnx_format=False, bias_correction=True, algo="mse"),
    "slim_qat_old": partial(slim_qat, onnx_format=False),
    "slim_qat_range": partial(
        slim_qat, onnx_format=False, activation_quantize_type="range_abs_max", weight_quantize_type=TENSOR
    ),
    "slim_qat_dynamic": partial(slim_qat, onnx_format=False, activation_quantize_type="abs_max"),
    "slim_qat": partial(slim_qat, onnx_format=True),
    "slim_qat_per_tensor": partial(slim_qat, onnx_format=True, weight_quantize_type=TENSOR),
    "slim_qat_full": partial(slim_qat, onnx_format=True, is_full_quantize=True),
    "slim_qat_tensorrt": partial(slim_qat, onnx_format=True, for_tensorrt=True),
    "passes_v1": partial(passes, linear=False, weight=CHANNELS, activation=MOVING),
    "passes_v1_per_tensor": partial(passes, linear=False, weight=TENSOR, activation="range_abs_max"),
    "passes_v1_transformed": partial(
        passes, linear=False, until="transformed", weight=CHANNELS, activation=MOVING
    ),
    "passes_v2": partial(passes, linear=True, weight=CHANNELS, activation=MOVING),
    "passes_v2_per_tensor": partial(passes, linear=True, weight=TENSOR, activation=MOVING),
    "passes_v2_transformed": partial(
        passes, linear=True, until="transformed", weight=CHANNELS, activation=MOVING
    ),
    "weight_only_8": weight_only,
    "weight_only_per_tensor": partial(weight_only, weight_quantize_type=TENSOR),
    "weight_only_16": partial(weight_only, weight_bits=16),
    "weight_only_test": partial(weight_only, form="test_model"),
    "imperative_qat": partial(imperative_qat, onnx_format=False),
    "imperative_qat_onnx": partial(imperative_qat, onnx_format=True),
    "imperative_ptq": imperative_ptq,
    "dygraph_qat": dygraph_qat,
    "dygraph_weights": partial(dygraph_qat, weights_only=True),
    "dygraph_ptq": partial(dygraph_qat, ptq=True),
}
"""Name -> what makes the model in a folder and returns its prefix."""
