"""Typed configuration of training and quantization, from YAML files."""

from qcc.train.config.load import load_config
from qcc.train.config.schema import ClassifierConfig
from qcc.train.config.slim import QuantizationStrategy, Slim, default_slim, load_slim

__all__ = ["ClassifierConfig", "QuantizationStrategy", "Slim", "default_slim", "load_config", "load_slim"]
