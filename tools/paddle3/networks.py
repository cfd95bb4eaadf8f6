"""Small networks of Paddle 3.3.1, saved with what it computes, for tests/qcc/frontend/paddle3.

Runs under paddlepaddle 3.3.1:

    PYTHONPATH=tools python tools/paddle3/networks.py tests/qcc/frontend/paddle3/networks.json.gz [NAME ...]

Under paddlepaddle 3.0.0 it makes networks-3.0.json.gz in the same folder.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paddle
import paddle.nn.functional as F
from paddle import nn
from paddle.static import InputSpec
from paddle3.saving import Cases
from paddle3.values import Input


class Yolo(nn.Layer):
    """Two heads with their boxes, and one NMS."""

    def __init__(self) -> None:
        super().__init__()
        self.c1, self.b1 = nn.Conv2D(3, 8, 3, 2, 1), nn.BatchNorm2D(8)
        self.c2, self.c3 = nn.Conv2D(8, 16, 3, 2, 1), nn.Conv2D(16, 16, 3, 2, 1)
        self.up = nn.Upsample(scale_factor=2, mode="nearest")
        self.h1, self.h2 = nn.Conv2D(16, 27, 1), nn.Conv2D(32, 27, 1)

    def forward(self, x: Any, size: Any) -> Any:
        a = F.leaky_relu(self.b1(self.c1(x)), 0.1)
        b = F.hardswish(self.c2(a))
        c = F.relu6(self.c3(b))
        h1, h2 = self.h1(c), self.h2(paddle.concat([self.up(c), b], 1))
        box1, score1 = paddle.vision.ops.yolo_box(h1, size, [10, 13, 16, 30, 33, 23], 4, 0.005, 8)
        box2, score2 = paddle.vision.ops.yolo_box(h2, size, [30, 61, 62, 45, 59, 119], 4, 0.005, 4)
        boxes = paddle.concat([box1, box2], 1)
        scores = paddle.transpose(paddle.concat([score1, score2], 1), [0, 2, 1])
        out, _, count = paddle._C_ops.multiclass_nms3(boxes, scores, None, 0.01, 100, 50, 0.45, True, 1.0, -1)
        return out, count


class Recurrent(nn.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(50, 16)
        self.lstm = nn.LSTM(16, 12, num_layers=2, direction="bidirect")
        self.gru, self.simple = nn.GRU(24, 8), nn.SimpleRNN(8, 8)
        self.fc = nn.Linear(8, 5)

    def forward(self, ids: Any) -> Any:
        x, _ = self.lstm(self.embedding(ids))
        x, _ = self.gru(x)
        x, last = self.simple(x)
        return F.log_softmax(self.fc(x), -1), last


class Control(nn.Layer):
    """A loop whose variables change places, a branch on data, and one inside the loop."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: Any, n: Any) -> Any:
        i = paddle.zeros([1], "int32")
        y, z = x, x + 1
        while i < n:
            y, z = z, F.relu(self.fc(y)) + x
            if y.sum() > 3:
                z = z - 1
            i = i + 1
        out = y * 2 if z.sum() > 10 else y - 1
        return out, z


class Switched(nn.Layer):
    """Branches that a parameter decides, as in PP-YOLOE+."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2D(3, 4, 1)
        self.alpha = self.create_parameter([1], default_initializer=nn.initializer.Constant(1.0))
        self.zero = self.create_parameter([1], default_initializer=nn.initializer.Constant(0.0))

    def forward(self, x: Any) -> Any:
        y = self.conv(x)
        y = y * self.alpha + x[:, :1] if self.alpha else y
        return y + 1 if self.zero else y - 1


class Attention(nn.Layer):
    def __init__(self, width: int, heads: int, fused: bool) -> None:
        super().__init__()
        self.heads, self.fused = heads, fused
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Any) -> Any:
        _, n, c = x.shape
        each = c // self.heads
        if self.fused:
            qkv = self.qkv(x).reshape([0, 0, 3, self.heads, each]).transpose([2, 0, 1, 3, 4])
            return self.out(F.scaled_dot_product_attention(*qkv.unbind(0)).reshape([0, 0, c]))
        q, k, v = self.qkv(x).reshape([-1, n, 3, self.heads, each]).transpose([2, 0, 3, 1, 4]).unbind(0)
        weights = F.softmax(paddle.matmul(q, k, transpose_y=True) * each**-0.5, -1)
        return self.out(paddle.matmul(weights, v).transpose([0, 2, 1, 3]).reshape([-1, n, c]))


class Vit(nn.Layer):
    def __init__(self, fused: bool) -> None:
        super().__init__()
        width = 32
        self.patches = nn.Conv2D(3, width, 8, 8)
        self.cls, self.positions = self.create_parameter([1, 1, width]), self.create_parameter([1, 17, width])
        self.blocks = nn.LayerList(
            nn.LayerList(
                [
                    nn.LayerNorm(width),
                    Attention(width, 4, fused),
                    nn.LayerNorm(width),
                    nn.Sequential(nn.Linear(width, 64), nn.GELU(), nn.Linear(64, width)),
                ]
            )
            for _ in range(2)
        )
        self.norm, self.fc = nn.LayerNorm(width), nn.Linear(width, 10)

    def forward(self, x: Any) -> Any:
        x = self.patches(x).flatten(2).transpose([0, 2, 1])
        x = paddle.concat([self.cls.expand([x.shape[0], -1, -1]), x], 1) + self.positions
        for norm, attention, second, mlp in self.blocks:
            x = x + attention(norm(x))
            x = x + mlp(second(x))
        return F.softmax(self.fc(self.norm(x)[:, 0]), -1)


def small() -> Any:
    return nn.Sequential(
        nn.Conv2D(3, 8, 3, padding=1),
        nn.BatchNorm2D(8),
        nn.ReLU(),
        nn.Conv2D(8, 8, 3, groups=8, padding=1),
        nn.BatchNorm2D(8),
        nn.Hardswish(),
        nn.AdaptiveAvgPool2D(1),
        nn.Flatten(),
        nn.Linear(8, 4),
    )


def image(*shape: int) -> tuple[list[Any], list[Input]]:
    return [InputSpec([None, *shape], "float32", "x")], [Input(0, (2, *shape))]


def vision(cases: Cases, name: str, net: Any) -> None:
    spec = [InputSpec([None, 3, None, None], "float32", "x")]
    cases.save(name, net, spec, [Input(0, (2, 3, 64, 64))])


def yolo(cases: Cases) -> None:
    specs = [InputSpec([None, 3, None, None], "float32", "image"), InputSpec([None, 2], "int32", "im_size")]
    inputs = [Input(0, (2, 3, 64, 64), "float32", 0.0), Input(0, (2, 2), "int32", 64, 65)]
    cases.save("yolo", Yolo(), specs, inputs)


def recurrent(cases: Cases) -> None:
    ids = Input(0, (2, 7), "int64", 0, 50)
    cases.save("recurrent", Recurrent(), [InputSpec([None, None], "int64", "ids")], [ids])


def control(cases: Cases) -> None:
    specs = [InputSpec([None, 4], "float32", "x"), InputSpec([1], "int32", "n")]
    for count in (0, 3):
        inputs = [Input(0, (2, 4)), Input(0, (1,), "int32", count, count + 1)]
        cases.save(f"control_{count}", paddle.jit.to_static(Control()), specs, inputs)


def quantized(cases: Cases) -> None:
    from paddle.quantization import PTQ, QAT, QuantConfig
    from paddle.quantization.observers import AbsmaxObserver
    from paddle.quantization.quanters import FakeQuanterWithAbsMaxObserver

    paddle.seed(0)
    shape = (3, 16, 16)
    spec, inputs = [InputSpec([2, *shape], "float32", "x")], [Input(0, (2, *shape))]
    quanter = FakeQuanterWithAbsMaxObserver(moving_rate=0.9)
    training = QAT(QuantConfig(activation=quanter, weight=quanter))
    net = small()
    net.train()
    net = training.quantize(net)
    optimizer = paddle.optimizer.SGD(0.01, parameters=net.parameters())
    for seed in range(4):
        net(paddle.to_tensor(Input(seed, (4, *shape)).value())).mean().backward()
        optimizer.step()
        optimizer.clear_grad()
    cases.save("qat", net, spec, inputs, own_weights=True)

    for bits in (8, 4):
        observer = AbsmaxObserver(quant_bits=bits)
        after = PTQ(QuantConfig(activation=observer, weight=observer))
        net = small()
        net.eval()
        net = after.quantize(net)
        for seed in range(4):
            net(paddle.to_tensor(Input(seed, (4, *shape)).value()))
        converted = after.convert(net)
        # What 3.3.1 computes from its own files is not what the network computes; the network's is right.
        expected = converted(paddle.to_tensor(inputs[0].value())).numpy()
        cases.save(f"ptq_{bits}", converted, spec, inputs, own_weights=True, outputs=[expected])


def models() -> Any:
    return paddle.vision.models


CASES: dict[str, Callable[[Cases], None]] = {
    "mobilenet_v1": lambda cases: vision(
        cases, "mobilenet_v1", models().mobilenet_v1(scale=0.25, num_classes=10)
    ),
    "mobilenet_v3": lambda cases: vision(
        cases, "mobilenet_v3", models().mobilenet_v3_small(scale=0.35, num_classes=10)
    ),
    "resnet": lambda cases: vision(cases, "resnet", models().resnet18(num_classes=10)),
    "yolo": yolo,
    "recurrent": recurrent,
    "control": control,
    "switched": lambda cases: cases.save("switched", Switched(), *image(3, 8, 8), own_weights=True),
    "vit_fused": lambda cases: cases.save("vit_fused", Vit(True), *image(3, 32, 32)),
    "vit": lambda cases: cases.save("vit", Vit(False), *image(3, 32, 32)),
    "quantized": quantized,
}


def main(path: Path, names: list[str]) -> None:
    cases = Cases(path)
    for name in names or CASES:
        # Names of parameters count up, and decide their values.
        with paddle.utils.unique_name.guard():
            CASES[name](cases)
        print(name)
    cases.write()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
