"""A network of one's own, trained in Paddle as one would in PyTorch, to a quantized model.

    python examples/own_network/train.py [--images 6000] [--epochs 2] [--output output/own_network]

What quantizes stands between the two lines of dashes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import qcc  # before Paddle

# isort: split
import numpy as np
import paddle
from network import SmallMobileNet
from paddle.static import InputSpec

from qcc.train import fit
from qcc.train.data.cache import dataset
from qcc.train.data.fashion_mnist import read_fashion_mnist

SIZE = 64


def main(words: list[str] | None = None) -> dict[str, float]:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--data", type=Path, help="a folder of Fashion-MNIST; it is fetched otherwise")
    arguments.add_argument("--images", type=int, default=6000, help="how many to train on")
    arguments.add_argument("--epochs", type=int, default=2, help="of float and of quantized training, each")
    arguments.add_argument("--output", type=Path, default=Path("output/own_network"))
    options = arguments.parse_args(words)
    folder = options.data or dataset("fashion-mnist")
    train, test = (read_fashion_mnist(folder, split).first(options.images) for split in ("train", "test"))
    output = options.output

    def batches(epoch):
        """The images in an order of its own for each epoch, so that a run can be gone on with."""
        order = np.random.default_rng(epoch).permutation(len(train))
        parts = [order[start : start + SIZE] for start in range(0, len(order), SIZE)]
        return [(normalized(train.images[part]), train.labels[part, None].astype("int64")) for part in parts]

    def accuracy(predict):
        parts = range(0, len(test), SIZE)
        found = [predict(normalized(test.images[at : at + SIZE])).argmax(1) for at in parts]
        return float((np.concatenate(found) == test.labels).mean())

    model = float_model(output / "float.pdparams", batches, options.epochs)
    model.eval()
    before = accuracy(lambda images: model(paddle.to_tensor(images)).numpy())
    print(f"float: {before:.4f}")

    # ------------------------------------------------------------------
    spec = [InputSpec([None, 1, 28, 28], name="image")], [InputSpec([None, 1], "int64", "label")]
    quantized = fit(
        model, batches, accuracy, folder=output / "checkpoints", epochs=options.epochs, input_spec=spec[0],
        label_spec=spec[1], loss=paddle.nn.CrossEntropyLoss(), learning_rate=0.005,
    )  # fmt: skip
    quantized.save(output / "frozen")
    # ------------------------------------------------------------------

    saved = qcc.Runner(qcc.load(output / "frozen/qdq"))
    after = accuracy(lambda images: saved.run({"image": images})[0])
    print(f"quantized: {quantized.best['accuracy']:.4f} in training, {after:.4f} as saved")
    return {"float": before, "quantized": quantized.best["accuracy"], "saved": after}


def normalized(images):
    return ((images[:, None] / 255 - 0.286) / 0.353).astype("float32")


def float_model(path: Path, batches, epochs: int) -> SmallMobileNet:
    """What a training script does anyway; what it has made is kept."""
    paddle.seed(0)
    model = SmallMobileNet()
    if path.exists():
        model.set_state_dict(paddle.load(str(path)))
        return model
    rate = paddle.optimizer.lr.CosineAnnealingDecay(0.01, len(batches(0)) * epochs)
    optimizer = paddle.optimizer.Adam(rate, parameters=model.parameters())
    criterion = paddle.nn.CrossEntropyLoss()
    for epoch in range(epochs):
        for image, label in batches(epoch):
            loss = criterion(model(paddle.to_tensor(image)), paddle.to_tensor(label))
            loss.backward()
            optimizer.step()
            optimizer.clear_grad()
            rate.step()
        print(f"float epoch {epoch}: loss {float(loss):.4f}")
    paddle.save(model.state_dict(), str(path))
    return model


if __name__ == "__main__":
    main()
