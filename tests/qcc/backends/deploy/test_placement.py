"""What is said, and written, of a model for a target."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from engine_nets import engine_net, frozen_engine_net

import qcc
from qcc._paddle import core
from qcc.backends import deploy
from qcc.backends.deploy.check import check
from qcc.backends.deploy.form import for_target
from qcc.backends.deploy.options import code, told
from qcc.backends.onnx.export import export
from qcc.backends.report import Check
from qcc.cli.main import cli
from qcc.errors import OutputError, TargetError
from qcc.passes.frozen import frozen_ops
from qcc.quantization import state
from qcc.targets import processor, table
from qcc.targets.table import OnnxForm, Target, find_target

X86 = find_target("paddle-x86")


def test_what_runs_in_int8_and_what_does_not() -> None:
    lines = list(check(engine_net("transposed")[0], X86).lines())
    assert lines[0].startswith("the model is float; what follows is for the scheme transform{")
    assert lines[1] == "Paddle Inference with oneDNN on x86 runs in int8: 1 conv2d."
    assert lines[2].startswith("in float: 1 conv2d_transpose, since its int8 kernel gives values some 370 ")


def test_quantization_is_taken_off_and_weights_stay_rounded() -> None:
    frozen, _ = frozen_engine_net("transposed")
    (found,) = (found for found in frozen_ops(frozen.graph) if found.op.type == "conv2d_transpose")
    integers, scale = frozen.weights[found.weight.name], found.weight_scale(frozen.graph)
    model, _ = for_target(frozen, X86)
    (op,) = (op for op in model.graph.ops if op.type == "conv2d_transpose")
    value = model.weights[op.input("Filter").name]
    np.testing.assert_allclose(value, integers * scale.reshape(1, -1, 1, 1) / 127, rtol=1e-6)
    assert state(model.graph) == "qdq"
    assert ",unquantize{outputs=[conv2d_transpose_0.tmp_0]}," in model.provenance.pipelines[-1]


def test_a_network_of_which_nothing_is_left_quantized(tmp_path: Path) -> None:
    frozen, _ = frozen_engine_net("left_weight")
    saved = qcc.save(frozen, tmp_path, target="paddle-x86", check=False)
    assert saved.form == "float"
    assert state(qcc.load(tmp_path).graph) == "float"


def test_the_record_says_how_to_set_the_engine_up(tmp_path: Path) -> None:
    qcc.save(frozen_engine_net("squeeze_and_excite")[0], tmp_path, target="paddle-x86", check=False)
    engine = json.loads((tmp_path / "qcc.json").read_text())["engine"]
    assert engine["target"] == "paddle-x86"
    assert engine["python"][3] == (
        'config.enable_mkldnn_int8({"conv2d", "depthwise_conv2d", "fused_conv2d"})'
    )
    assert engine["cpp"][4].startswith(
        'config.pass_builder()->DeletePass("self_attention_fuse_pass");  // with'
    )
    assert "engine" not in json.loads(_plain(tmp_path / "plain").read_text())


_RUNS = {
    "paddle-x86": """
feed = predictor.get_input_handle(predictor.get_input_names()[0])
feed.copy_from_cpu(x)
predictor.run()
y = predictor.get_output_handle(predictor.get_output_names()[0]).copy_to_cpu()""",
    "openvino": "y = model([x])[0]",
    "onnxruntime": "y = session.run(None, {session.get_inputs()[0].name: x})[0]",
}


@pytest.mark.parametrize("target", _RUNS)
def test_the_code_that_is_told_runs_as_it_stands(target: str, tmp_path: Path) -> None:
    pytest.importorskip("paddle" if target == "paddle-x86" else target)
    model, inputs = frozen_engine_net("concat_conv_and_pool")
    onnx = target == "onnxruntime"
    file = tmp_path / ("my model.onnx" if onnx else "my model/model.pdmodel")
    if onnx:
        export(model, file, find_target(target), check=False)
    else:
        qcc.save(model, file.parent, target=target, check=False)
    np.save(tmp_path / "x.npy", inputs["x"])
    text, _, cpp = "\n".join(told(find_target(target), file, onnx=onnx)).partition("an application in C++")
    lines = textwrap.dedent(text.partition("with\n")[2])
    code = f"import numpy\nx = numpy.load('x.npy')\n{lines}\n{_RUNS[target]}\nnumpy.save('y.npy', y)"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True)
    (expected,) = model.run(inputs)
    assert np.abs(np.load(tmp_path / "y.npy") - expected).max() < 0.05 * np.abs(expected).max()
    assert cpp.count(str(file.with_suffix(""))) >= 1


# A tensor of floats from a file, and one into a file.
_CPP = """
#include <fstream>
#include <vector>
int main() {
%s
auto request = model.create_infer_request();
std::vector<float> x(%d);
std::ifstream("x.bin", std::ios::binary).read(reinterpret_cast<char*>(x.data()), x.size() * 4);
request.set_input_tensor(ov::Tensor(ov::element::f32, ov::Shape{%s}, x.data()));
request.infer();
auto y = request.get_output_tensor(0);
std::ofstream("y.bin", std::ios::binary).write(static_cast<const char*>(y.data()), y.get_byte_size());
}
"""


def told_in_cpp(target: Target, file: Path, *, onnx: bool) -> list[str]:
    """The code alone, without what may be said behind it."""
    code = "\n".join(told(target, file, onnx=onnx)).partition("in C++")[2].partition("with\n")[2]
    return [line.strip() for line in code.splitlines() if line.startswith("    ")]


@pytest.mark.slow
@pytest.mark.parametrize("onnx", [False, True])
@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no g++")
def test_the_code_in_cpp_compiles_and_runs(onnx: bool, tmp_path: Path) -> None:
    """OpenVINO's package has its headers and its library."""
    home = Path(pytest.importorskip("openvino").__file__).parent
    model, inputs = frozen_engine_net("concat_conv_and_pool")
    file = tmp_path / ("model.onnx" if onnx else "model/model.pdmodel")
    if onnx:
        export(model, file, find_target("openvino"), check=False)
    else:
        qcc.save(model, file.parent, target="openvino", check=False)
    include, *lines = told_in_cpp(find_target("openvino"), file, onnx=onnx)
    x = inputs["x"]
    shape = ", ".join(map(str, x.shape))
    (tmp_path / "a.cpp").write_text(include + _CPP % ("\n".join(lines), x.size, shape))
    x.tofile(tmp_path / "x.bin")
    (library,) = (home / "libs").glob("libopenvino.so.*")
    words = ["g++", "-std=c++17", "a.cpp", "-o", "a", "-I", home / "include", library]
    subprocess.run([*words, f"-Wl,-rpath,{home / 'libs'}"], cwd=tmp_path, check=True, capture_output=True)
    subprocess.run([tmp_path / "a"], cwd=tmp_path, check=True, capture_output=True)
    (expected,) = model.run(inputs)
    found = np.fromfile(tmp_path / "y.bin", np.float32).reshape(expected.shape)
    assert np.abs(found - expected).max() < 0.05 * np.abs(expected).max()


def _compiles(header: str) -> bool:
    if shutil.which("g++") is None:
        return False
    words = ["g++", "-fsyntax-only", "-x", "c++", "-"]
    return subprocess.run(words, input=f"#include {header}", text=True, capture_output=True).returncode == 0


# The same, in ONNX Runtime.
_CPP_OF_ONNXRUNTIME = """
#include <fstream>
#include <vector>
int main() {
%s
std::vector<float> x(%d);
std::ifstream("x.bin", std::ios::binary).read(reinterpret_cast<char*>(x.data()), x.size() * 4);
const std::vector<int64_t> shape{%s};
auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
auto input = Ort::Value::CreateTensor<float>(memory, x.data(), x.size(), shape.data(), shape.size());
Ort::AllocatorWithDefaultOptions names;
auto read = session.GetInputNameAllocated(0, names), written = session.GetOutputNameAllocated(0, names);
const char *reads[] = {read.get()}, *writes[] = {written.get()};
auto y = session.Run(Ort::RunOptions{nullptr}, reads, &input, 1, writes, 1);
const auto size = y[0].GetTensorTypeAndShapeInfo().GetElementCount() * 4;
std::ofstream("y.bin", std::ios::binary).write(y[0].GetTensorData<char>(), size);
}
"""


@pytest.mark.slow
def test_the_code_in_cpp_for_onnxruntime(tmp_path: Path) -> None:
    """ONNX Runtime's package has its library, and its headers come from elsewhere (`CPLUS_INCLUDE_PATH`)."""
    if not _compiles("<onnxruntime_cxx_api.h>"):
        pytest.skip("there is no g++, or it finds no header onnxruntime_cxx_api.h")
    home = Path(pytest.importorskip("onnxruntime").__file__).parent / "capi"
    model, inputs = frozen_engine_net("concat_conv_and_pool")
    file, target = tmp_path / "model.onnx", find_target("onnxruntime")
    export(model, file, target, check=False)
    include, *lines = told_in_cpp(target, file, onnx=True)
    x = inputs["x"]
    body = _CPP_OF_ONNXRUNTIME % ("\n".join(lines), x.size, ", ".join(map(str, x.shape)))
    (tmp_path / "a.cpp").write_text(include + body)
    x.tofile(tmp_path / "x.bin")
    (library,) = home.glob("libonnxruntime.so.*")
    words = ["g++", "-std=c++17", "a.cpp", "-o", "a", library, f"-Wl,-rpath,{home}"]
    subprocess.run(words, cwd=tmp_path, check=True, capture_output=True)
    # The library's name for itself has no last digits, and no such file is in the package.
    (tmp_path / ".".join(library.name.split(".")[:3])).symlink_to(library)
    environment = {**os.environ, "LD_LIBRARY_PATH": str(tmp_path)}
    subprocess.run([tmp_path / "a"], cwd=tmp_path, check=True, capture_output=True, env=environment)
    (expected,) = model.run(inputs)
    found = np.fromfile(tmp_path / "y.bin", np.float32).reshape(expected.shape)
    assert np.abs(found - expected).max() < 0.05 * np.abs(expected).max()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("nm") is None, reason="there is no nm, which lists what a library has")
def test_paddle_has_what_the_code_in_cpp_calls() -> None:
    """Paddle's package has no headers for it, and a library with the functions."""
    library = Path(core.__file__).with_name("libpaddle.so")
    listed = subprocess.run(
        ["nm", "-DC", "--defined-only", library], check=True, capture_output=True, text=True
    )
    names = {match[1] for match in re.finditer(r" T (?:\w+::)*(\w+::\w+)\(", listed.stdout)}
    lines = "\n".join(code(X86, "cpp"))
    called = re.findall(r"config\.(\w+)\(", lines)
    assert called == ["EnableMKLDNN", "EnableMkldnnInt8", "pass_builder"]
    assert {f"AnalysisConfig::{name}" for name in called} <= names
    assert {"AnalysisConfig::AnalysisConfig", "PaddlePassBuilder::DeletePass"} <= names
    assert {"paddle_infer::CreatePredictor"} <= names
    assert "EnableMkldnnInt8(std::unordered_set<std::__cxx11::basic_string" in listed.stdout


def _plain(folder: Path) -> Path:
    qcc.save(frozen_engine_net("squeeze_and_excite")[0], folder, check=False)
    return folder / "qcc.json"


def test_what_is_not_frozen_is_refused_with_the_way() -> None:
    with pytest.raises(
        TargetError, match="is made of a frozen model, and this one is float: quantize it first"
    ):
        for_target(engine_net("transposed")[0], X86)
    qdq = qcc.PassManager.parse("qdq").run(frozen_engine_net("squeeze_and_excite")[0])
    with pytest.raises(TargetError, match="this one is qdq: start from the frozen model"):
        for_target(qdq, X86)


def test_a_form_that_the_target_does_not_have(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="target 'paddle-x86' has no form 'int8'; it has qdq"):
        qcc.save(frozen_engine_net("transposed")[0], tmp_path, target="paddle-x86", form="int8")


def test_an_op_that_a_table_refuses() -> None:
    row = {"op": "conv2d", "runs": "refused", "why": "it melts", "remedy": "use less", "case": "none"}
    content = X86.model_dump()
    toy = Target.model_validate(content | {"name": "toy", "facts": (row, *content["facts"])})
    with pytest.raises(TargetError, match=r"toy does not run 4 of .* conv2d \(.*\): it melts; use less"):
        for_target(frozen_engine_net("squeeze_and_excite")[0], toy)


def test_a_condition_that_nobody_knows() -> None:
    content = X86.model_dump()
    facts = ({**content["facts"][0], "when": "at-night"}, *content["facts"])
    with pytest.raises(
        TargetError, match="the condition 'at-night' of 'conv2d' is not known; there are always"
    ):
        for_target(frozen_engine_net("transposed")[0], Target.model_validate(content | {"facts": facts}))


def test_what_the_engine_computes_otherwise_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table that lets conv2d_transpose run in int8."""
    content = X86.model_dump()
    fact = {**content["facts"][0], "op": "conv2d_transpose"}
    facts, ops = (fact, *content["facts"]), (*content["int8_ops"], "conv2d_transpose")
    toy = Target.model_validate(content | {"facts": facts, "int8_ops": ops, "pipeline": "prune"})
    monkeypatch.setattr(table, "known_targets", lambda: {"toy": toy})
    with pytest.raises(OutputError, match=r"conv2d_transpose.*--no-check writes it all the same"):
        qcc.save(frozen_engine_net("transposed")[0], tmp_path / "out", target="toy")
    assert not (tmp_path / "out").exists()


def test_the_command(tmp_path: Path) -> None:
    qcc.save(engine_net("squeeze_and_excite")[0], tmp_path / "model", check=False)
    result = CliRunner().invoke(cli, ["check", str(tmp_path / "model"), "--target", "paddle-x86"])
    assert result.exit_code == 0, result.output
    assert "runs in int8: 4 conv2d." in result.output
    result = CliRunner().invoke(cli, ["check", str(tmp_path / "model"), "--target", "lite_arm"])
    assert str(result.exception) == "there is no target 'lite_arm'; did you mean 'lite-arm'?"


def test_a_table_of_another_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = Path(table.__file__).with_name("paddle_x86.yaml").read_text()
    file = tmp_path / "board.yaml"
    file.write_text(text.replace("name: paddle-x86", "name: my-board"))

    class Entry:
        name, value = "my-board", "my_package.targets:path"

        def load(self) -> object:
            return lambda: file

    monkeypatch.setattr(table, "entry_points", lambda group: [Entry()])
    table.known_targets.cache_clear()
    assert find_target("my-board").engine == X86.engine
    file.write_text(text)
    table.known_targets.cache_clear()
    with pytest.raises(TargetError, match="there is a target 'paddle-x86' already"):
        find_target("my-board")
    file.write_text("name: [")
    table.known_targets.cache_clear()
    with pytest.raises(
        TargetError, match=r"my_package\.targets:path, line 1 of the table, is no YAML: expected"
    ):
        find_target("my-board")
    file.write_text(text.replace("runs: int8", "runs: fast"))
    table.known_targets.cache_clear()
    with pytest.raises(TargetError, match=r"my_package.targets:path: facts.0.runs: Input should be 'int8'"):
        find_target("my-board")
    file.write_text("name")
    table.known_targets.cache_clear()
    with pytest.raises(TargetError, match=r"my_package.targets:path: the whole table: Input should be"):
        find_target("my-board")
    monkeypatch.undo()
    table.known_targets.cache_clear()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (lambda: None, "gave a NoneType, where the path of its table is wanted."),
        (lambda: 1 // 0, "asked for the path of its table, raised ZeroDivisionError"),
        (7, "asked for the path of its table, raised TypeError"),
    ],
)
def test_what_another_package_does_for_a_table_is_told_as_its(
    given: object, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Entry:
        name, value = "my-board", "my_package.targets:path"

        def load(self) -> object:
            return given

    monkeypatch.setattr(table, "entry_points", lambda group: [Entry()])
    table.known_targets.cache_clear()
    with pytest.raises(TargetError, match=rf"^the target 'my-board' of my_package.targets:path,? {said}"):
        find_target("my-board")
    monkeypatch.undo()
    table.known_targets.cache_clear()


# ---------------------------------------------------------------- processors with VNNI


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("paddle-x86", ["avoid-saturation"]),
        ("openvino", ["unsigned-activations{grid=trained}", "unclipped-sums"]),
        ("onnxruntime", ["unclipped-sums{grid=full}"]),
    ],
)
def test_with_vnni_nothing_is_done_for_processors_without(name: str, steps: list[str]) -> None:
    target = find_target(f"{name}+vnni")
    forms: list[Target | OnnxForm] = [target, *([target.onnx] if target.onnx is not None else [])]
    assert target.name == f"{name}+vnni"
    assert (target.vnni, target.halves, target.with_vnni()) == (True, (), target)
    for form in forms:
        assert not any(step in form.pipeline for step in steps)
        assert {fault.processors for fault in form.faults}.isdisjoint({table.WITHOUT_VNNI})
    plain = find_target(name)
    kept = plain.pipeline
    for step in steps:
        assert f",{step}," in kept
        kept = kept.replace(f",{step}", "", 1)
    assert target.pipeline == kept


def test_targets_that_vnni_does_not_change() -> None:
    with pytest.raises(TargetError, match=r"^tensorrt is the same for all processors: leave out VNNI\.$"):
        find_target("tensorrt+vnni")
    with pytest.raises(TargetError, match=r"no target 'openvno\+vnni'; did you mean 'openvino'\?"):
        find_target("openvno+vnni")
    with pytest.raises(TargetError, match=r"no target 'lite-arm\+vnni'; did you mean 'lite-arm'\?"):
        find_target("lite-arm+vnni", others=("lite-arm",))


def test_paddle_lite_has_files_of_its_own() -> None:
    with pytest.raises(TargetError, match=r"`qcc export MODEL --target lite-arm -o OUT\.nb` writes"):
        find_target("lite-arm")


@pytest.mark.parametrize("flags", [set(), {"avx512_vnni"}])
def test_what_is_for_vnni_is_checked_where_there_is_vnni(
    flags: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processor, "cpu_flags", lambda: frozenset(flags))
    monkeypatch.setattr(deploy, "check_runs", lambda *_: [Check("Paddle", "ran")])
    saved = qcc.save(frozen_engine_net("concat_conv_and_pool")[0], tmp_path, target="paddle-x86+vnni")
    lack = "not run, because this processor is not known to have VNNI, for which it is written"
    wanted = "Paddle: ran" if flags else f"Paddle Inference with oneDNN: {lack}"
    assert str(saved.checks[-1]) == wanted
    assert json.loads((tmp_path / "qcc.json").read_text())["engine"]["target"] == "paddle-x86+vnni"


def test_a_table_of_another_package_with_vnni(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its faults say which steps stand for processors without; a table that is for VNNI alone is found by its
    own name."""
    fault = {"what": "a", "ops": [], "processors": table.WITHOUT_VNNI, "instead": "b", "case": "c"}
    content = {
        "name": "board", "engine": "E", "processor": "P", "pipeline": "qdq, prune,avoid-saturation",
        "halves": ["conv2d"], "facts": [], "faults": [{**fault, "step": "avoid-saturation"}],
    }  # fmt: skip
    board = table._parse("board.yaml", json.dumps(content))
    own = table._parse("own.yaml", json.dumps({**content, "name": "own+vnni", "vnni": True}))
    known = {"board": board, "own+vnni": own}
    monkeypatch.setattr(table, "known_targets", lambda: known)
    found = find_target("board+vnni")
    assert (found.pipeline, found.halves, found.faults, found.vnni) == ("qdq, prune", (), (), True)
    assert find_target("own+vnni") is own
    halved = {**content, "faults": [], "name": "halved"}
    assert table._parse("h.yaml", json.dumps(halved)).with_vnni().halves == ()
    with pytest.raises(
        TargetError, match=r"^b.yaml: faults: the step 'clip' is in no pipeline of the table\.$"
    ):
        table._parse("b.yaml", json.dumps({**content, "faults": [{**fault, "step": "clip"}]}))


def test_freeze_writes_for_vnni(tmp_path: Path) -> None:
    """As `qcc.save` does; and what is written for Paddle is not warned of for OpenVINO's users."""
    model, inputs = engine_net("concat_conv_and_pool")
    qcc.save(qcc.quantize(model, [inputs]), tmp_path / "frozen", check=False)
    done = CliRunner().invoke(
        cli,
        ["freeze", str(tmp_path / "frozen"), "--target", "openvino+vnni", "--save", str(tmp_path / "out")],
    )
    assert done.exit_code == 0, done.output
    assert "this processor is not known to have VNNI" in done.output or processor.has_vnni()
    record = json.loads((tmp_path / "out" / "qdq" / "qcc.json").read_text())
    assert record["engine"]["target"] == "openvino+vnni"


def test_with_vnni_weights_keep_their_last_bit() -> None:
    model, inputs = engine_net("transposed")  # whose convolution reads a signed input
    (weight,) = (op.input("Filter").name for op in model.graph.ops if op.type == "conv2d")
    for target, odd in (("paddle-x86", False), ("paddle-x86+vnni", True)):
        quantized = qcc.quantize(model, [inputs], target=target)
        integers = np.abs(quantized.weights[weight].astype(int))
        assert bool((integers[integers < 127] % 2).any()) is odd
