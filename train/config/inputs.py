"""The files that a run starts from: what cannot be there is refused before anything is read."""

from __future__ import annotations

import glob
from pathlib import Path

from qcc.errors import ConfigError
from qcc.train.config.schema import FloatTraining, TrainingConfig
from qcc.train.config.slim import Slim

_BACKBONE = ("FloatTraining", "backbone_weights")


def refuse_address(path: Path, where: str = "", key: str | None = None) -> None:
    """Raise ConfigError for the address of a web page, which PaddleDetection's configurations give.

    `where`: begins the message; `key`: that of the configuration, where it has one.
    """
    if path.parts[:1] in (("http:",), ("https:",)):
        raise ConfigError(
            f"{where}{': ' * bool(where)}the weights are to come from the web address"
            f" {path.parts[0]}//{'/'.join(path.parts[1:])}, and qcc fetches none: get the file, unpack it,"
            f" and give its place{'' if key is None else f' with -o {key}=PATH'}."
        )


def check_there(where: str, path: Path) -> None:
    """Raise ConfigError when there is no file or folder `path`, and no file of which it is the prefix."""
    if not path.exists() and not glob.glob(f"{glob.escape(str(path))}.*"):
        raise ConfigError(f"{where}: {path} does not exist.")


def refuse_addresses(config: TrainingConfig) -> None:
    """Raise ConfigError when a key that names weights to start from gives a web address."""
    if config.pretrain_weights is not None:
        refuse_address(config.pretrain_weights, config.where("pretrain_weights"), "pretrain_weights")
    elif config.float_training is not None and config.float_training.backbone_weights is not None:
        _refuse_backbone_address(config, config.float_training.backbone_weights)


def first_weights_of(config: TrainingConfig, slim: Slim) -> Path | FloatTraining:
    """The float weights that training starts from, or what makes them.

    Raises ConfigError when they are not there, or when there is neither.
    """
    if slim.compressor.init_model is not None:
        refuse_address(slim.compressor.init_model, slim.compressor.where("init_model"))
        check_there(slim.compressor.where("init_model"), slim.compressor.init_model)
        return slim.compressor.init_model
    refuse_addresses(config)
    if config.pretrain_weights is not None:
        check_there(config.where("pretrain_weights"), config.pretrain_weights)
        return config.pretrain_weights
    if config.float_training is None:
        raise ConfigError(
            f"{config.where('pretrain_weights')}: neither pretrain_weights nor FloatTraining is given: one"
            " says where the float weights are, the other how to train them."
        )
    return config.float_training


def backbone_of(config: TrainingConfig) -> Path | None:
    """The weights that FloatTraining starts from, if any. Raises ConfigError when they are not there."""
    backbone = None if config.float_training is None else config.float_training.backbone_weights
    if backbone is not None:
        _refuse_backbone_address(config, backbone)
        check_there(config.where(*_BACKBONE), backbone)
    return backbone


def _refuse_backbone_address(config: TrainingConfig, path: Path) -> None:
    refuse_address(path, config.where(*_BACKBONE), ".".join(_BACKBONE))
