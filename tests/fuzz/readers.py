"""What reads files of others, with a file for each to begin with."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from detection_data import write_voc
from lite_commands import small
from mutants import (
    Mutate,
    mutate_bytes,
    mutate_json,
    mutate_naive_buffer,
    mutate_program,
    mutate_text,
)
from saved_models import control_flow, two_feeds

import qcc
from qcc.backends.lite.describe import describe
from qcc.backends.lite.export import export
from qcc.backends.lite.file import parse_naive_buffer
from qcc.backends.lite.file_check import check_file
from qcc.calibrate.data.arrays import read_batches
from qcc.calibrate.data.beside import load_preprocess, preprocess_beside
from qcc.calibrate.data.image_file import read_image
from qcc.calibrate.data.preprocess import template
from qcc.ir.text import parse_graph, print_graph
from qcc.ir.verify import verify
from qcc.model import Model
from qcc.passes import PassManager
from qcc.passes.instruments import Verification
from qcc.quantization import stored_form
from qcc.train.config import load_config, load_slim
from qcc.train.data.coco import read_coco
from qcc.train.data.detection_set import BadData
from qcc.train.data.voc import read_class_names, read_voc
from qcc.train.loop.checkpoint import CheckpointStore, Position, TrainingState

CONFIGS = Path(__file__).parents[2] / "configs"
DETECTOR = "yolov3_mobilenet_v1_fashion_voc.yml"


@dataclass(frozen=True)
class Reader:
    """`read` is called on a copy of `folder` in which one of `files` is a mutant."""

    name: str
    folder: Path
    files: tuple[Path, ...]
    mutations: tuple[Mutate, ...]
    read: Callable[[Path], None]

    def laid_out(self, scratch: Path, file: int, data: bytes) -> Path:
        """The copy, which the next call makes anew."""
        place = scratch / "mutant"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(self.folder, place)
        (place / self.files[file].relative_to(self.folder)).write_bytes(data)
        return place


def _whole_way(folder: Path) -> None:
    """Load, verify, print, transform, freeze, save; each may refuse."""
    model = qcc.load(folder)
    verify(model.graph, scales=False)
    print_graph(model.graph)
    changed = PassManager.parse("transform{activation_type=abs_max},freeze,int8,prune").run(model)
    qcc.save(changed, folder / "out", form=stored_form(changed.graph), check=False)


def _load(folder: Path) -> None:
    print_graph(qcc.load(folder).graph)


def _lite(folder: Path) -> None:
    """As `qcc inspect` and `qcc check` do."""
    parsed = parse_naive_buffer(folder / "model.nb")
    describe(parsed.buffer, parsed.complaints)
    list(check_file(folder / "model.nb").lines())


def _params(folder: Path) -> None:
    model = qcc.load(folder)
    for name in model.weights:
        model.weights[name].sum()


def _beside(folder: Path) -> None:
    preprocess_beside(folder / "inference.pdmodel")


def _preprocess(path: Path) -> None:
    load_preprocess(path)


def _text(folder: Path) -> None:
    graph = parse_graph((folder / "graph.txt").read_text(encoding="utf-8", errors="replace"))
    verify(graph, scales=False)
    PassManager.parse("transform{activation_type=abs_max},freeze,int8").run(Model(graph), [Verification()])


def _arrays(folder: Path) -> None:
    list(read_batches(qcc.load(folder / "model"), folder / "data"))


def _voc(folder: Path) -> None:
    read_voc(folder, "trainval.txt", read_class_names(folder, False), BadData(skip=True))
    read_voc(folder, "trainval.txt", read_class_names(folder, False), BadData())


def _coco(folder: Path) -> None:
    read_coco(folder, "instances.json", BadData(skip=True), "JPEGImages")
    read_coco(folder, "instances.json", BadData(), "JPEGImages")


def _state(folder: Path) -> None:
    CheckpointStore(folder).newest()


def _image(folder: Path) -> None:
    for path in folder.iterdir():
        read_image(path)


def readers(folder: Path) -> Mapping[str, Reader]:
    """All readers, with their files made under `folder`."""
    both = (mutate_bytes, mutate_program)
    made = [
        _model_reader(folder / "program", control_flow().save, both, _whole_way),
        _model_reader(folder / "two-feeds", two_feeds().save, both, _whole_way),
        _frozen(folder / "frozen"),
        _paddle3(folder / "paddle3"),
        _naive_buffer(folder / "naive-buffer"),
        _parameters(folder / "parameters"),
        _preprocessing(folder / "preprocessing"),
        _graph_text(folder / "graph-text"),
        _batches(folder / "arrays"),
        _data_set(folder / "voc", "voc"),
        _data_set(folder / "coco", "coco"),
        _data_set(folder / "image", "image"),
        _checkpoint(folder / "checkpoint"),
        *_configurations(folder),
    ]
    return {reader.name: reader for reader in made}


def _model_reader(
    folder: Path, save: Callable[[Path], object], mutations: tuple[Mutate, ...], read: Callable[[Path], None]
) -> Reader:
    folder.mkdir(parents=True)
    save(folder / "net")
    return Reader(folder.name, folder, (folder / "net.pdmodel",), mutations, read)


def _frozen(folder: Path) -> Reader:
    qcc.save(small()[0], folder, form="qdq", check=False)
    (folder / "qcc.json").unlink()
    return Reader(
        folder.name, folder, (folder / "model.pdmodel",), (mutate_bytes, mutate_program), _whole_way
    )


def _paddle3(folder: Path) -> Reader:
    folder.mkdir(parents=True)
    stored = Path(__file__).parents[1] / "qcc/frontend/paddle3/one_op_programs.json.gz"
    programs = json.loads(gzip.decompress(stored.read_bytes()))
    found = programs.values() if isinstance(programs, dict) else programs
    source = next(program for program in _documents(found) if "conv2d" in json.dumps(program))
    (folder / "net.json").write_text(json.dumps(source))
    return Reader(folder.name, folder, (folder / "net.json",), (mutate_bytes, mutate_json), _load)


def _documents(found: object) -> list[object]:
    """The programs somewhere in a stored file."""
    if isinstance(found, dict) and "base_code" in found:
        return [found]
    inner = found.values() if isinstance(found, dict) else found if isinstance(found, list) else ()
    if not isinstance(found, dict | list) and not isinstance(found, str):
        inner = list(found) if hasattr(found, "__iter__") else ()  # type: ignore[call-overload]
    return [document for item in inner for document in _documents(item)]


def _naive_buffer(folder: Path) -> Reader:
    folder.mkdir(parents=True)
    export(small()[0], folder / "model.nb", check=False)
    return Reader(folder.name, folder, (folder / "model.nb",), (mutate_bytes, mutate_naive_buffer), _lite)


def _parameters(folder: Path) -> Reader:
    qcc.save(small()[0], folder, form="int8", check=False)
    (folder / "qcc.json").unlink()
    return Reader(folder.name, folder, (folder / "model.pdiparams",), (mutate_bytes,), _params)


def _preprocessing(folder: Path) -> Reader:
    """What PaddleX, PaddleOCR and PaddleClas leave beside a model, and PaddleDetection."""
    folder.mkdir(parents=True)
    (folder / "inference.yml").write_text(BESIDE)
    return Reader(folder.name, folder, (folder / "inference.yml",), (mutate_text,), _beside)


def _graph_text(folder: Path) -> Reader:
    folder.mkdir(parents=True)
    (folder / "graph.txt").write_text(GRAPH, encoding="utf-8")
    return Reader(folder.name, folder, (folder / "graph.txt",), (mutate_text,), _text)


def _batches(folder: Path) -> Reader:
    model, inputs = small()
    qcc.save(model, folder / "model", check=False)
    (folder / "data").mkdir()
    np.savez_compressed(folder / "data/a.npz", **inputs)
    np.save(folder / "data/b.npy", inputs["x0"])
    return Reader(folder.name, folder, tuple(sorted((folder / "data").iterdir())), (mutate_bytes,), _arrays)


def _data_set(folder: Path, kind: str) -> Reader:
    write_voc(folder, {"trainval": 2})
    if kind == "voc":
        files = (folder / "trainval.txt", folder / "label_list.txt", folder / "Annotations/trainval_0.xml")
        return Reader(kind, folder, files, (mutate_text,), _voc)
    if kind == "image":
        return Reader(
            kind,
            folder / "JPEGImages",
            tuple(sorted((folder / "JPEGImages").iterdir())),
            (mutate_bytes,),
            _image,
        )
    names = sorted(path.name for path in (folder / "JPEGImages").iterdir())
    content = {
        "images": [{"id": n, "file_name": name, "width": 64, "height": 64} for n, name in enumerate(names)],
        "annotations": [
            {"id": n, "image_id": n, "category_id": 1, "bbox": [1, 2, 20, 10], "area": 200.0, "iscrowd": 0}
            for n in range(len(names))
        ],
        "categories": [{"id": 1, "name": "square"}],
    }
    (folder / "instances.json").write_text(json.dumps(content))
    return Reader(kind, folder, (folder / "instances.json",), (mutate_json, mutate_text), _coco)


def _checkpoint(folder: Path) -> Reader:
    arrays = {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "count": np.array([3])}
    state = TrainingState(arrays, Position(1, 2, 12), True, {"loss": 0.5}, [{"epoch": 0}], {"seed": 1})
    folder.mkdir(parents=True)
    written = CheckpointStore(folder).write("0", state.write)
    return Reader(folder.name, folder, tuple(sorted(written.iterdir())), (mutate_bytes,), _state)


def _configurations(folder: Path) -> list[Reader]:
    def reader(name: str, source: Path, read: Callable[[Path], object]) -> Reader:
        place = folder / name
        place.mkdir(parents=True)
        shutil.copy(source, place / "x.yml")
        return Reader(name, place, (place / "x.yml",), (mutate_text,), lambda at: read(at / "x.yml") and None)

    slim = folder / "slim.yaml"
    folder.mkdir(exist_ok=True)
    slim.write_text(SLIM)
    images = folder / "images.yml"
    images.write_text(template((1, 3, 224, 224)))
    return [
        reader(
            "configuration",
            CONFIGS / "yolov3_mobilenet_v1_fashion_voc.yml",
            lambda path: load_config(path, ()),
        ),
        reader("slim-file", slim, load_slim),
        reader("preprocess", images, _preprocess),
    ]


GRAPH = """graph {for_test=true}
feeds [x]
fetches [y]

weight w: float32[1, 1, 1, 1] = [0.5]
var x: float32[-1, 1, 2, 2]
var h: float32[-1, 1, 2, 2]
var y: float32[-1, 1, 2, 2]

h = conv2d(Input=x, Filter=w) {paddings=[0, 0], strides=[1, 1]}
y = relu(X=h)
"""

BESIDE = """Global:
  model_name: PP-LCNet_x1_0
PreProcess:
  transform_ops:
  - ResizeImage:
      resize_short: 256
  - CropImage:
      size: 224
  - NormalizeImage:
      channel_num: 3
      mean: [0.485, 0.456, 0.406]
      order: ''
      scale: 0.00392156862745098
      std: [0.229, 0.224, 0.225]
  - ToCHWImage: null
PostProcess:
  Topk:
    topk: 5
    label_list: [tench, goldfish]
"""

SLIM = """version: 1.0
strategies:
    quantization_strategy:
        class: 'QuantizationStrategy'
        start_epoch: 0
        end_epoch: 1
        float_model_save_path: './output/float'
        weight_bits: 8
        activation_bits: 8
        weight_quantize_type: 'abs_max'
        activation_quantize_type: 'abs_max'
compressor:
    epoch: 2
    checkpoint_path: './checkpoints/'
    strategies:
        - quantization_strategy
"""
