"""Typed configuration of training and quantization, from YAML files."""

from qcc.train.config.detection import DetectorConfig
from qcc.train.config.load import load_config
from qcc.train.config.schema import ClassifierConfig, TrainingConfig
from qcc.train.config.slim import Slim, default_slim, load_slim
from qcc.train.config.strategies import DistillationStrategy, QuantizationStrategy

__all__ = [
    "ClassifierConfig",
    "DetectorConfig",
    "DistillationStrategy",
    "QuantizationStrategy",
    "Slim",
    "TrainingConfig",
    "default_slim",
    "load_config",
    "load_slim",
]
