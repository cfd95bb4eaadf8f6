"""Every error that qcc raises on purpose, as one flat list of types, and its one kind of warning.

A message is one sentence that says what is wrong, where (file, key, line, op, variable), and what
would be right. The command line prints it alone and exits with code 2; anything that is not a
`QccError` is a bug in qcc and keeps its traceback.
"""

from __future__ import annotations


class QccError(Exception):
    """Base of all errors below; catch it to catch whatever qcc refuses."""


class QccWarning(UserWarning):
    """The category of Python's warnings that qcc gives: what was done is right, and a user must hear of it.

    The command line prints these itself.
    """


class PaddleError(QccError):
    """Paddle is missing, too old, or was imported in a mode that qcc cannot work with."""


class PathError(QccError):
    """The working folder is gone, or a path is not one that Paddle can open."""


class MissingDependencyError(QccError):
    """A library or program that this command needs is not installed."""


class ModelFormatError(QccError):
    """A model file is truncated, foreign, or does not fit the file beside it."""


class GraphError(QccError):
    """An edit or a look-up names something that the graph does not have, or has already."""


class VerifyError(QccError):
    """A graph breaks one of the rules of `Graph.verify`."""


class TextError(QccError):
    """The textual form of a graph does not parse; the message carries line and column."""


class PipelineError(QccError):
    """The textual form of a pipeline does not parse, or names an unknown pass or option."""


class PassError(QccError):
    """A pass cannot do its job on this graph; the message names the pass, the op and the reason."""


class ConfigError(QccError):
    """A configuration file or override is wrong; the message names file, line and key."""


class DataError(QccError):
    """Data is missing, damaged or empty; the message names the file and line."""


class CheckpointError(QccError):
    """A checkpoint is missing, incomplete, or belongs to another network."""


class WorkerError(QccError):
    """A process that loads data for this one has ended."""


class TrainingError(QccError):
    """Training cannot go on, for instance because the loss is not finite."""


class LiteRuntimeError(QccError):
    """Paddle Lite's runtime refused a model or an input, or crashed; the message carries its last words."""


class EngineError(QccError):
    """Another engine refused a model or an input, or crashed; the message carries its last words."""


class OutputError(QccError):
    """The output cannot be written where it was asked for."""


class TargetError(QccError):
    """A target or form does not exist, or the model cannot be brought into it; the message names both."""
