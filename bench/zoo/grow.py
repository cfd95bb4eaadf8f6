"""Builds the networks of networks.yml with random weights and saves them; runs in the zoo's environment.

Usage: python grow.py NETWORKS.YML FOLDER NAME...

Each NAME becomes FOLDER/NAME/model.pdmodel and model.pdiparams, the same bytes every time, or a file
FOLDER/NAME.failed with the reason. Each is built in a process of its own, so that none depends on those
before it: paddledet keeps one configuration for the whole process.
"""

from __future__ import annotations

import importlib
import multiprocessing
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import yaml
from paddle.base.proto import framework_pb2

SEED = 1
# One picture would have no variance behind a global pooling.
BATCHES, PICTURES = 3, 4
SHIFT = 1.5
Inputs = dict[str, np.ndarray]


def main(networks: str, folder: str, *names: str) -> None:
    table = yaml.safe_load(Path(networks).read_text(encoding="utf-8"))
    # paddleclas imports its own modules as `ppcls`, from its own folder.
    sys.path.append(str(Path(paddle.__file__).parents[1] / "paddleclas"))
    # Imported once for all processes below; paddleclas logs into nothing unless it is told where.
    for package in ("ppcls.arch.backbone", "ppdet.modeling", "paddleseg.models"):
        importlib.import_module(package)
    importlib.import_module("ppcls.utils.logger").init_logger()

    context = multiprocessing.get_context("fork")
    for name in names:
        process = context.Process(target=_grow, args=(name, table[name], Path(folder)))
        process.start()
        process.join()
        failed = Path(folder, f"{name}.failed")
        if process.exitcode and not failed.exists():
            failed.write_text(f"the process ended with code {process.exitcode}\n")
        print(f"{name}: {failed.read_text().strip() if failed.exists() else 'built'}", flush=True)


def _grow(name: str, entry: Mapping[str, Any], folder: Path) -> None:
    try:
        paddle.seed(SEED)
        np.random.seed(SEED)
        network = _detector(entry["config"]) if "config" in entry else _called(entry)
        network.eval()
        _fill_zeros(network)
        feeds = entry.get("feeds") or {"image": [1, 3, entry["side"], entry["side"]]}
        if "config" in entry:
            feeds |= {"im_shape": [1, 2], "scale_factor": [1, 2]}
        batch = {name: [entry.get("pictures", PICTURES), *shape[1:]] for name, shape in feeds.items()}
        _settle_norms(network, batch, as_map="config" in entry)
        # Whoever is killed meanwhile leaves nothing that looks like a network.
        part = folder / f".{name}"
        _save(network, feeds, part, as_map="config" in entry)
        part.rename(folder / name)
    except Exception as error:
        # Whatever a package dislikes about a network; the others are to be built all the same.
        traceback.print_exc()
        line = next(iter(str(error).strip().splitlines()), "")
        (folder / f"{name}.failed").write_text(f"{type(error).__name__}: {line}\n")


def _called(entry: Mapping[str, Any]) -> Any:
    module, _, attribute = entry["call"].rpartition(".")
    options = {key: _part(value) for key, value in entry.get("options", {}).items()}
    return getattr(importlib.import_module(module), attribute)(**options)


def _part(value: Any) -> Any:
    if isinstance(value, dict) and "type" in value:
        from paddleseg.cvlibs import manager

        options = {key: _part(part) for key, part in value.items() if key != "type"}
        return manager.BACKBONES[value["type"]](**options)
    return value


def _detector(config: Mapping[str, Any]) -> Any:
    from ppdet.core.workspace import create, merge_config
    from ppdet.modeling import RPNHead

    RPNHead.propose, RPNHead._gen_proposal = RPNHead._gen_proposal, _propose_with_length
    merge_config(config)
    return create(config["architecture"])


def _propose_with_length(head: Any, *arguments: Any) -> Any:
    """In Paddle 2.6 the length that paddledet counts has no dimension, and paddledet takes the first."""
    boxes, length = head.propose(*arguments)
    return boxes, paddle.reshape(length, [1])


def _fill_zeros(network: Any) -> None:
    """Give values to weights of zeros: heads begin with them, and would hide all that stands before."""
    for parameter in network.parameters():
        if parameter.ndim > 1 and not parameter.any():
            spread = 1 / np.sqrt(np.prod(parameter.shape[1:]))
            parameter.set_value(paddle.normal(0.0, spread, parameter.shape))


def _settle_norms(network: Any, batch: Mapping[str, list[int]], *, as_map: bool) -> None:
    """Set the statistics of the batch norms to their means over some batches.

    With those that a new network has, mean 0 and variance 1, the activations of a deep one shrink or grow by
    a factor a layer. What they give is moved by `SHIFT`: a relu that cuts half of it off makes differences
    grow by a fifth a layer, so that fifty layers turn one that is a rounding into one of everything.
    """
    norms = [layer for layer in network.sublayers(include_self=True) if hasattr(layer, "_mean")]
    for norm in norms:
        if norm.bias is not None:
            norm.bias.set_value(paddle.full_like(norm.bias, SHIFT))
    for number in range(BATCHES):
        for norm in norms:
            norm.training, norm._use_global_stats, norm._is_test = True, False, False
            norm._momentum = number / (number + 1)
        inputs = {key: paddle.to_tensor(value) for key, value in made_up(batch, number).items()}
        network(inputs) if as_map else network(*inputs.values())
    for norm in norms:
        norm.training, norm._use_global_stats, norm._is_test = False, None, True


def made_up(feeds: Mapping[str, list[int]], seed: int) -> Inputs:
    """Noise for pictures; for a detector their size, and 1 for the factor by which they were scaled."""
    random = np.random.default_rng(seed)
    values = {}
    for name, shape in feeds.items():
        if name == "im_shape":
            values[name] = np.array([feeds["image"][2:]] * shape[0], np.float32)
        elif name == "scale_factor":
            values[name] = np.ones(shape, np.float32)
        else:
            values[name] = random.standard_normal(shape).astype(np.float32)
    return values


def _save(network: Any, feeds: Mapping[str, list[int]], folder: Path, *, as_map: bool) -> None:
    specs = {name: paddle.static.InputSpec(shape, "float32", name) for name, shape in feeds.items()}
    given = [specs] if as_map else list(specs.values())
    static = paddle.jit.to_static(network, input_spec=given, full_graph=True)
    if as_map:
        # A detector that does not ask for the size of the picture has no such feed.
        program = static.forward.main_program
        used = {name for op in program.global_block().ops for name in op.input_arg_names}
        specs = {name: spec for name, spec in specs.items() if name in used}
    given = [specs] if as_map else list(specs.values())
    paddle.jit.save(static, str(folder / "model"), input_spec=given)
    _drop_call_stacks(folder / "model.pdmodel")


def _drop_call_stacks(path: Path) -> None:
    """They hold paths and lines, and make another file of the same network."""
    program = framework_pb2.ProgramDesc.FromString(path.read_bytes())
    for block in program.blocks:
        for op in block.ops:
            kept = [attribute for attribute in op.attrs if attribute.name != "op_callstack"]
            del op.attrs[:]
            op.attrs.extend(kept)
    path.write_bytes(program.SerializeToString(deterministic=True))


if __name__ == "__main__":
    main(*sys.argv[1:])
