"""A network that is hard to quantize on purpose, and images: what docs/accuracy.md goes through.

    python examples/hard_net.py FOLDER [MODEL ...]

Writes FOLDER/model, a classifier of 32 patterns in noise, and FOLDER/images, an image per file. One channel
behind its first convolution is 200 times as large as the others, and divided by as much where it is read: in
float that changes nothing. With MODELs, it tells how many images each of these is right on instead.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

import qcc
from qcc._paddle import paddle
from qcc.model import Model, Runner

CLASSES, SIDE, IMAGES, LOUD, TIMES = 32, 16, 64, 3, 200


def images(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Patterns in noise, float32 [count, 3, SIDE, SIDE], and the class of each."""
    patterns = np.random.default_rng(0).standard_normal((CLASSES, 3, SIDE, SIDE))
    random = np.random.default_rng(seed)
    labels = random.integers(0, CLASSES, count)
    noise = 2 * random.standard_normal((count, 3, SIDE, SIDE))
    return (patterns[labels] + noise).astype(np.float32), labels


def network(image: Any) -> Any:
    """Convolutions, one of them depthwise, and a product."""
    conv, relu = paddle.static.nn.conv2d, paddle.nn.functional.relu
    x = relu(conv(image, 16, 3, padding=1, param_attr="first", bias_attr="first.bias"))
    x = relu(conv(x, 16, 3, padding=1, groups=16, param_attr="depthwise", bias_attr=False))
    for name, stride in (("second", 2), ("third", 2)):
        x = relu(conv(x, 32, 3, stride, 1, param_attr=name, bias_attr=f"{name}.bias"))
    features = paddle.flatten(x, 1)
    return paddle.nn.Linear(features.shape[1], CLASSES, weight_attr="product", bias_attr=False)(features)


def build() -> Model:
    """The network with random weights, but for the last ones, which are fitted to 2,000 images."""
    main, startup, scope = paddle.static.Program(), paddle.static.Program(), paddle.static.Scope()
    with paddle.static.program_guard(main, startup):
        output = network(paddle.static.data("image", [-1, 3, SIDE, SIDE]))
    with paddle.static.scope_guard(scope):
        paddle.static.Executor(paddle.CPUPlace()).run(startup)
    model = qcc.from_program(main, scope, ["image"], [output.name], for_test=True)
    random = np.random.default_rng(1)
    for name, value in model.weights.items():
        spread = np.sqrt(2 / np.prod(value.shape[1:])) if value.ndim == 4 else 0.1
        model.weights[name] = (spread * random.standard_normal(value.shape)).astype(np.float32)
    pictures, labels = images(2000, 2)
    product = next(op for op in model.graph.ops if op.type.startswith("matmul"))
    (features,) = Runner(model).run({"image": pictures}, (product.input("X").name,))
    square = features.T @ features + 0.1 * np.mean(features**2) * len(features) * np.eye(features.shape[1])
    fitted = np.linalg.solve(square, features.T @ np.eye(CLASSES)[labels])
    model.weights["product"] = fitted.astype(np.float32)
    return model


def write(folder: Path) -> None:
    """Write model and images."""
    model = build()
    for name, factor in (("first", TIMES), ("first.bias", TIMES), ("depthwise", 1 / TIMES)):
        weight = model.weights[name].copy()
        weight[LOUD] *= factor
        model.weights[name] = weight
    qcc.save(model, folder / "model", check=False)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images(IMAGES, 3)[0]):
        np.save(folder / f"images/{number:02}.npy", image[np.newaxis])


def main() -> None:
    """Do what the command line says."""
    paddle.enable_static()
    folder, *models = map(Path, sys.argv[1:])
    if not models:
        write(folder)
    pictures, labels = images(1000, 4)
    for path in models or [folder / "model"]:
        (scores,) = qcc.load(path).run({"image": pictures})
        print(f"{path}: right on {np.mean(scores.argmax(1) == labels):.1%} of 1,000 images.")


if __name__ == "__main__":
    main()
