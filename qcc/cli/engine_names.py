"""The names of engines on command lines: those of `qcc.measure.engines.ENGINES`, which imports more than a
command line that is wrong should wait for."""

from __future__ import annotations

ON_CPUS = ("paddle", "onnxruntime", "openvino", "lite")
ENGINES = (*ON_CPUS, "tensorrt")
