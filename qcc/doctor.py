"""What this machine has of all that qcc needs, and what is missing for which command."""

from __future__ import annotations

import json
import platform
import re
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distributions, version

from qcc.failures import signal_name
from qcc.shown import counted

PYTHON = "Python"
PADDLE = "Paddle"
LITE = "Lite runtime"
DRAWING = "graphviz-pure"
TENSORRT = "TensorRT"
ONNX_RUNTIME, OPENVINO, ONNX, PADDLE2ONNX = "ONNX Runtime", "OpenVINO", "onnx", "paddle2onnx"
# Packages of which the version is all that is looked at, and the extra that installs each.
EXTRAS = {
    ONNX_RUNTIME: ("onnxruntime", "onnx"),
    OPENVINO: ("openvino", "openvino"),
    ONNX: ("onnx", "onnx"),
    PADDLE2ONNX: ("paddle2onnx", "onnx"),
}

# Packages that own the same files: whichever was installed last has overwritten part of the other.
BUILDS = {"paddlepaddle": "CPU", "paddlepaddle-gpu": "GPU"}
RIVALS = (tuple(BUILDS), ("opencv-python", "opencv-python-headless"))

WITHOUT_PADDLE = frozenset({"config"})
# What a command needs beside Paddle, and for what.
EXTRA_NEEDS = {
    "bench": {
        LITE: "measuring Paddle Lite",
        ONNX_RUNTIME: "measuring ONNX Runtime",
        OPENVINO: "measuring OpenVINO",
    },
    "compare": {LITE: "a .nb file", ONNX_RUNTIME: "an .onnx file"},
    "dump-graph": {DRAWING: "--svg and --png"},
    "export": {
        LITE: "running files for x86, and --cross-check",
        ONNX: "writing .onnx files",
        PADDLE2ONNX: "writing .onnx files",
        ONNX_RUNTIME: "running .onnx files",
    },
    "quantize": {OPENVINO: "running what is written with --target openvino"},
}

# The versions that qcc is tested on; the extras of pyproject.toml install them.
TESTED = ("2.6.2", "3.3.1")
TESTED_PADDLE2ONNX = "1.2.11"

# Paddle is looked at in a process of its own, since a broken one may crash it: all of qcc is imported, and a
# model runs. The first entry of the path is the current folder, which the program `qcc` does not search.
PROBE = """
import sys
del sys.path[0]
import json
import numpy
from qcc._paddle import core, paddle
import qcc.analyze.inspection, qcc.backends, qcc.calibrate.activations, qcc.frontend, qcc.train.quantize
from qcc.ir.text import parse_graph
graph = parse_graph('''
graph {for_test=true}
feeds [x]
fetches [y]
var x: float32[1]
var y: float32[1]
y = relu(X=x)
''')
(found,) = qcc.Model(graph).run({"x": numpy.ones(1, numpy.float32)})
assert found == 1, "a model of one op gives " + str(found)
print(json.dumps({
    "version": paddle.__version__,
    "cuda": paddle.is_compiled_with_cuda() and paddle.version.cuda(),
    "devices": paddle.device.cuda.device_count(),
    "onednn": core.is_compiled_with_mkldnn(),
}))
"""
LITE_PROBE = "import paddlelite.lite"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked for: what was found, whether it will do, and if not what to do about it."""

    name: str
    found: str
    ok: bool = True
    remedy: str = ""


def examine() -> list[Finding]:
    """Look for everything that any command needs."""
    installed = {
        re.sub(r"[-_.]+", "-", distribution.metadata["Name"]).lower(): distribution.version
        for distribution in distributions()
        # What pip leaves of a package when it is interrupted has no name.
        if "Name" in distribution.metadata
    }
    return [
        python(),
        *paddle(),
        *rivals(installed),
        lite(installed),
        *extras(installed),
        tensorrt(installed),
        drawing(installed),
    ]


def paddle_version() -> str:
    """The version and build of the installed Paddle, which is not imported for it."""
    found = []
    for package, build in BUILDS.items():
        with suppress(PackageNotFoundError):
            found.append(f"version {version(package)} ({package}, {build} build)")
    return " and ".join(found) or "not installed"


def python() -> Finding:
    return Finding(
        PYTHON, f"{platform.python_implementation()} {platform.python_version()} on {platform.machine()}"
    )


def paddle() -> list[Finding]:
    """Paddle itself, and what kind of Paddle it is."""
    output, failure = _probe(PROBE)
    tested = " and ".join(TESTED)
    if failure:
        remedy = f"{failure} (qcc is tested with Paddle {tested})"
        return [Finding(PADDLE, "cannot be used", ok=False, remedy=remedy)]
    facts = json.loads(output.splitlines()[-1])
    build = f"GPU (CUDA {facts['cuda']}), {counted(facts['devices'], 'device')}" if facts["cuda"] else "CPU"
    onednn = Finding("oneDNN", "yes")
    if not facts["onednn"]:
        onednn = Finding(
            "oneDNN", "no", ok=False, remedy="models run here without int8 kernels; take a build that has it"
        )
    note = "" if facts["version"] in TESTED else f" (qcc is tested with {tested})"
    return [
        Finding(PADDLE, facts["version"] + note),
        Finding("IR mode", "old IR (ProgramDesc)"),
        Finding("Build", build),
        onednn,
    ]


def rivals(installed: dict[str, str]) -> list[Finding]:
    """A finding for each pair of installed packages that overwrite each other."""
    return [
        Finding(
            "Packages",
            f"{first} and {second} are both installed",
            ok=False,
            remedy=f"they own the same files: `pip uninstall {first} {second}`, then install one of them",
        )
        for first, second in RIVALS
        if first in installed and second in installed
    ]


def lite(installed: dict[str, str]) -> Finding:
    if "paddlelite" not in installed:
        remedy = "`pip install 'qcc[lite]'`"
        if sys.version_info >= (3, 11):
            remedy = "it exists for CPython up to 3.10 only, on Linux on x86-64"
        return Finding(LITE, "not installed", ok=False, remedy=remedy)
    _, failure = _probe(LITE_PROBE)
    if failure:
        return Finding(LITE, f"{installed['paddlelite']} cannot be used", ok=False, remedy=failure)
    return Finding(LITE, installed["paddlelite"])


def extras(installed: dict[str, str]) -> list[Finding]:
    """The packages for engines and their files."""
    found = []
    for name, (package, extra) in EXTRAS.items():
        if package not in installed:
            found.append(Finding(name, "not installed", ok=False, remedy=f"`pip install 'qcc[{extra}]'`"))
        elif name == PADDLE2ONNX and installed[package] != TESTED_PADDLE2ONNX:
            note = f" (qcc is tested with {TESTED_PADDLE2ONNX}: `pip install 'qcc[{extra}]'`)"
            found.append(Finding(name, installed[package] + note))
        else:
            found.append(Finding(name, installed[package]))
    return found


def tensorrt(installed: dict[str, str]) -> Finding:
    """Files for TensorRT are written without it, and every command can do what it does: so it counts as
    lacking for none."""
    if "tensorrt" not in installed:
        remedy = "`pip install 'qcc[tensorrt]'`, for a GPU of NVIDIA's, runs what is written for it"
        return Finding(TENSORRT, "not installed", ok=False, remedy=remedy)
    return Finding(TENSORRT, installed["tensorrt"])


def drawing(installed: dict[str, str]) -> Finding:
    if DRAWING not in installed:
        return Finding(DRAWING, "not installed", ok=False, remedy=f"`pip install {DRAWING}`")
    return Finding(DRAWING, installed[DRAWING])


def missing_for(command: str, findings: Iterable[Finding]) -> list[str]:
    """What keeps `command` from working, as clauses; an empty list when it can do all it does."""
    bad = {finding.name for finding in findings if not finding.ok}
    missing = [f"needs {PADDLE}"] if PADDLE in bad and command not in WITHOUT_PADDLE else []
    for name, purpose in EXTRA_NEEDS.get(command, {}).items():
        if name in bad:
            missing.append(f"{purpose} needs {name}")
    return missing


def _probe(program: str) -> tuple[str, str]:
    """Run a Python program in a process of its own; return its output, and the reason when it failed."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    if done.returncode < 0:
        return "", f"its import crashes with {signal_name(-done.returncode)}"
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "its import fails silently"
        return "", last.removeprefix("qcc.errors.PaddleError: ").rstrip(".")
    return done.stdout, ""
