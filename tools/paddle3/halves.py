"""Networks in half floats, saved by Paddle 3.3.1, for tests/qcc/frontend/paddle3.

Runs under paddlepaddle 3.3.1:

    PYTHONPATH=tools python tools/paddle3/halves.py tests/qcc/frontend/paddle3/halves.json.gz

Without a GPU, Paddle saves layers in bfloat16 and weights in float16, but no layer in float16: of that, a
program of Paddle 2 is translated. Nor does it run most of them, so that the outputs are those of the network
in float32, with the weights of the file.
"""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import astuple
from pathlib import Path
from typing import Any

import paddle
import paddle.nn.functional as F
from paddle import nn
from paddle.base import core
from paddle.base.proto import framework_pb2
from paddle.pir_utils import OldIrGuard
from paddle.static import InputSpec
from paddle3.saving import Cases, parameters, run, stored, write_stream
from paddle3.values import Input, weight

SHAPE = (3, 16, 16)
INPUTS = [Input(0, (2, *SHAPE))]
FP16, FP32 = 4, 5


class Layers(nn.Layer):
    """Without a norm of batches, which Paddle does not compute in bfloat16."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.deep = nn.Conv2D(3, 8, 3, 2, 1), nn.Conv2D(8, 8, 3, groups=8)
        self.norm, self.fc = nn.LayerNorm(8), nn.Linear(8, 4)

    def forward(self, x: Any) -> Any:
        x = F.hardswish(self.deep(F.relu(self.conv(x))))
        return F.softmax(self.fc(self.norm(x.mean([2, 3]))))


class Mixed(nn.Layer):
    """Some ops in half floats, with casts in between."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.inner = nn.BatchNorm2D(3), Layers()

    def forward(self, x: Any) -> Any:
        with paddle.amp.auto_cast(level="O1", dtype="bfloat16"):
            return self.inner(self.norm(x))


class Stored(nn.Layer):
    """Weights that are stored in float16 and computed with in float32."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = self.create_parameter([8, 3, 3, 3], dtype="float16")
        self.product = self.create_parameter([8, 4], dtype="float16")

    def forward(self, x: Any) -> Any:
        x = F.relu(F.conv2d(x, self.kernel.astype("float32"), stride=2))
        return paddle.matmul(x.mean([2, 3]), self.product.astype("float32"))


def save(cases: Cases, name: str, net: Any, dtype: str, in_float32: Any) -> None:
    """`in_float32` computes what the network does."""
    spec = [InputSpec([None, *SHAPE], dtype, "x")]
    (given,) = INPUTS
    in_float32.eval()
    expected = in_float32(paddle.to_tensor(given.value())).numpy()
    cases.save(name, net, spec, INPUTS, own_weights=True, outputs=[expected])


def layers(cases: Cases) -> None:
    net, twin = Layers(), Layers()
    net.to(dtype="bfloat16")
    twin.set_state_dict({key: value.astype("float32") for key, value in net.state_dict().items()})
    save(cases, "bfloat16", net, "bfloat16", twin)


def mixed(cases: Cases) -> None:
    net = Mixed()
    save(cases, "mixed", net, "float32", nn.Sequential(net.norm, net.inner))


def weights_alone(cases: Cases) -> None:
    net = Stored()
    save(cases, "stored in float16", net, "float32", net)


def legacy() -> bytes:
    """A program of Paddle 2 in float32."""
    paddle.enable_static()
    try:
        with OldIrGuard():
            main = paddle.static.Program()
            with paddle.static.program_guard(main, paddle.static.Program()):
                x = paddle.static.data("x", [-1, *SHAPE], "float32")
                net = nn.Sequential(
                    nn.Conv2D(3, 8, 3, padding=1),
                    nn.BatchNorm2D(8),
                    nn.ReLU(),
                    nn.Conv2D(8, 8, 3, groups=8, padding=1),
                    nn.Hardswish(),
                    nn.AdaptiveAvgPool2D(1),
                    nn.Flatten(),
                    nn.Linear(8, 4),
                )
                net.eval()
                out = net(x)
                program = paddle.static.normalize_program(main.clone(for_test=True), [x], [out])
            data: bytes = program.desc.serialize_to_string()
            return data
    finally:
        paddle.disable_static()


def in_float16(data: bytes) -> bytes:
    """The program as it is on a GPU in float16: norms keep float32."""
    desc = framework_pb2.ProgramDesc.FromString(data)
    for variable in desc.blocks[0].vars:
        tensor = variable.type.dense_tensor.tensor
        if tensor.data_type == FP32 and not (variable.persistable and "batch_norm" in variable.name):
            tensor.data_type = FP16
    changed: bytes = desc.SerializeToString()
    return changed


def translated(cases: Cases) -> None:
    with tempfile.TemporaryDirectory() as place:
        prefix = str(Path(place, "inference"))

        def write(data: bytes) -> None:
            program = paddle.pir.translate_to_pir(core.ProgramDesc(data))
            core.serialize_pir_program(program, f"{prefix}.json", True, False, True)

        float_program = legacy()
        write(in_float16(float_program))
        program = json.loads(Path(f"{prefix}.json").read_bytes())
        weights = {one[0]: weight(*one) for one in parameters(program)}
        write(float_program)
        write_stream(Path(f"{prefix}.pdiparams"), [one.astype("float32") for one in weights.values()])
        (given,) = INPUTS
        outputs = [stored(output) for output in run(prefix, [given.value()])]
    cases.cases["float16"] = {
        "program": program,
        "inputs": {"x": astuple(given)},
        "outputs": outputs,
        "weights": {name: stored(value) for name, value in weights.items()},
    }


def main(path: Path) -> None:
    paddle.seed(0)
    cases = Cases(path)
    with paddle.utils.unique_name.guard():
        for make in (layers, mixed, weights_alone, translated):
            make(cases)
    cases.write()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
