"""Whether a model can be what a configuration describes, seen before any data is read."""

from __future__ import annotations

from qcc.errors import ConfigError, DataError
from qcc.model import Model
from qcc.train.config import ClassifierConfig, DetectorConfig
from qcc.train.models.classifier import IMAGE
from qcc.train.models.detector import IM_SIZE
from qcc.train.tasks.detector import DETECTION_SIZE

_NO_BACKGROUND = -1


def check_fits(model: Model, config: ClassifierConfig | DetectorConfig) -> None:
    """Raise ConfigError when the model has another number of classes than the configuration, DataError when
    it is fed by what the data set does not give, or is no network of that kind."""
    given = [IMAGE, IM_SIZE] if isinstance(config, DetectorConfig) else [IMAGE]
    missing = [name for name in model.feeds if name not in given]
    if missing:
        raise DataError(f"the model is fed by '{missing[0]}', but the data set gives {given}.")
    output = model.graph.var(model.fetches[0])
    columns = output.shape[1] if len(output.shape) == 2 and output.shape[1] > 0 else None
    if isinstance(config, DetectorConfig):
        if columns is not None and columns != DETECTION_SIZE:
            raise DataError(
                f"the model's first output '{output.name}' is {list(output.shape)}, and detections are"
                f" [M, {DETECTION_SIZE}]: it is no detector."
            )
        classes = _detected_classes(model)
    else:
        classes = columns
    if classes is not None and classes != config.num_classes:
        raise ConfigError(
            f"{config.where('num_classes')} is {config.num_classes}, but the model has {classes} classes."
        )


def _detected_classes(model: Model) -> int | None:
    """How many classes a detector tells apart; None where its ops do not show that."""
    for op in model.graph.ops:
        if op.type == "yolo_box":
            return int(op.attr("class_num"))
        if op.type.startswith("multiclass_nms") and op.attr("background_label") == _NO_BACKGROUND:
            shape = op.input("Scores").shape  # [N, classes, boxes]
            if len(shape) == 3 and shape[1] > 0:
                return int(shape[1])
    return None
