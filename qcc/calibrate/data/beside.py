"""How images are prepared, as read from the file that Paddle's tools leave beside a model.

`infer_cfg.yml` of PaddleDetection, and of PaddleX for its detectors, has a list `Preprocess`;
`inference.yml` of PaddleOCR, PaddleX and PaddleClas a list `PreProcess.transform_ops`. Nothing in them is
run: an operation that is not known here is an error.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from qcc.calibrate.data.preprocess import Preprocess, read_preprocess
from qcc.errors import ConfigError
from qcc.files import atomic_file
from qcc.grammar.document import LARGEST, Document, read_document
from qcc.grammar.section import validate
from qcc.inputs import read_input
from qcc.record import FILE_NAME

NAMES = ("infer_cfg.yml", "inference.yml")

_OF_OPENCV = ("nearest", "linear", "cubic", "area", "lanczos")
_INTERPOLATIONS: dict[Any, str] = {
    **dict(enumerate(_OF_OPENCV)),
    **{name: name for name in _OF_OPENCV},
    "bilinear": "linear",
    "bicubic": "cubic",
    "": "linear",
}
_IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
# What decodes, and what is about labels or the order of results.
_IGNORED = ("DecodeImage", "ToCHWImage", "Permute", "DetPermute", "KeepKeys")

# As wide as PaddleOCR reads a line of text, in pixels; a longer one is squeezed.
_WIDEST_LINE = 3200

# Recognisers of text list their characters there, some ten thousand.
_MOST_VALUES = 100_000

Content = dict[str, Any]


def preprocess_beside(program: Path) -> tuple[Preprocess, Path] | None:
    """What the file beside a model's program says, and that file; None when there is none.

    Raises ConfigError for a file that says what cannot be done here.
    """
    for name in NAMES:
        path = program.parent / name
        if path.is_file():
            found = read_foreign(path)
            if found is not None:
                return found, path
    return None


def copy_beside(program: Path, folder: Path) -> list[Path]:
    """Copy what says how images are prepared from beside a model's program into another folder; the copies.

    Raises ConfigError for a file that cannot be read, and OutputError.
    """
    copies = []
    for name in NAMES:
        path = program.parent / name
        if path.is_file():
            try:
                content = read_input(path, LARGEST)
            except OSError as error:
                raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error
            with atomic_file(folder / name) as stream:
                stream.write(content)
            copies.append(folder / name)
    return copies


def recorded_preprocess(places: Iterable[Path]) -> tuple[Preprocess, Path] | None:
    """What `qcc quantize MODEL` has recorded in a folder that it wrote, or above its forms; None when there
    is no such record.

    Raises ConfigError for a record that is damaged.
    """
    for place in places:
        for folder in (place, *place.parents[:2]):
            path = folder / FILE_NAME
            content = _recorded(path) if path.is_file() else None
            if content is not None:
                return validate(Preprocess, content, Document(str(path), content), ()), path
    return None


def _recorded(path: Path) -> Content | None:
    try:
        record = json.loads(read_input(path, LARGEST))
    except (OSError, ValueError, RecursionError):
        return None  # what is wrong with a record is told by whoever needs it
    data = record.get("data") if isinstance(record, dict) else None
    content = data.get("preprocess") if isinstance(data, dict) else None
    return content if isinstance(content, dict) else None


def load_preprocess(path: Path) -> Preprocess:
    """The file of `--preprocess`: of this package's grammar, one that Paddle's tools have left, or the record
    of `qcc quantize MODEL`.

    Raises ConfigError.
    """
    content = _recorded(path) if path.name == FILE_NAME and path.is_file() else None
    if content is not None:
        return validate(Preprocess, content, Document(str(path), content), ())
    return (read_foreign(path) if path.exists() else None) or read_preprocess(path)


def read_foreign(path: Path) -> Preprocess | None:
    """What a file of Paddle's tools says; None for a file that does not speak of preparing images.

    Raises ConfigError for one that is no YAML, or that wants what cannot be done here.
    """
    operations = _operations(read_document(path, _MOST_VALUES).data)
    if operations is None:
        return None
    made = _Made(path)
    for name, options in operations:
        try:
            made.add(name, options)
        except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
            raise ConfigError(
                f"{path}: {name} has options that are not known here, {options}: say by --preprocess FILE.yml"
                " how images are prepared (`qcc config help Preprocess`)."
            ) from error
    return validate(Preprocess, made.content, Document(str(path), made.content), ())


def _operations(content: Any) -> list[tuple[str, Content]] | None:
    """The names of operations with their options, in order."""
    match content:
        case {"Preprocess": [*listed]} if all(isinstance(one, dict) and "type" in one for one in listed):
            return [(one["type"], {k: v for k, v in one.items() if k != "type"}) for one in listed]
        case {"PreProcess": {"transform_ops": [*listed]}}:
            named = [one if isinstance(one, dict) else {str(one): None} for one in listed]
            return [(name, options or {}) for one in named for name, options in one.items()]
    return None


class _Made:
    """The content of a `Preprocess` section as it is put together, operation by operation."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.content: Content = {"steps": [], "layout": "NHWC"}

    def add(self, name: str, options: Content) -> None:
        if name == "DecodeImage":
            self.content["channels"] = options.get("img_mode", "RGB")
        if name in ("ToCHWImage", "Permute", "DetPermute"):
            self.content["layout"] = "NCHW"
        if name in _IGNORED or name.endswith("LabelEncode"):
            return
        if name in ("NormalizeImage", "DetNormalizeImage", "Normalize"):
            self.content.update(_normalize(options))
        elif name in ("RecResizeImg", "ClsResizeImg"):
            widest = {"widest": _WIDEST_LINE} if name == "RecResizeImg" else {}
            self.content["steps"].append({"type": "FitHeight", "size": options["image_shape"][1:], **widest})
            self.content.update(_same(0.5, 0.5), layout="NCHW", scale=1 / 255)
        elif name in _STEPS:
            self.content["steps"] += _STEPS[name](options)
        else:
            raise ConfigError(
                f"{self._path}: images go through {name}, which qcc does not know: say by --preprocess"
                " FILE.yml how they are prepared instead (`qcc config help Preprocess`), or give arrays."
            )


def _normalize(options: Content) -> Content:
    """NormalizeImage: PaddleDetection's has `is_scale` and `norm_type`, the others' a `scale` as text."""
    wanted = _IMAGENET if options.get("norm_type", "mean_std") != "none" else _same(0.0, 1.0)
    scale = options.get("scale")
    if scale is None:
        scale = 1 / 255 if options.get("is_scale", True) else 1.0
    made = {key: [float(value) for value in options.get(key) or wanted[key]] for key in ("mean", "std")}
    return {"scale": _number(scale), **(made if wanted is _IMAGENET else wanted)}


def _same(mean: float, std: float) -> Content:
    return {"mean": [mean], "std": [std]}


def _number(value: Any) -> float:
    """A number, or a fraction as text: "1./255."."""
    if not isinstance(value, str):
        return float(value)
    above, slash, below = value.partition("/")
    return float(above) / float(below) if slash else float(above)


def _pair(size: Any) -> list[int]:
    return [int(size), int(size)] if not isinstance(size, list) else [int(size[0]), int(size[1])]


def _detection_resize(options: Content) -> list[Content]:
    size, longest = options["target_size"], options.get("max_size")
    step = {"type": "Resize", "size": _pair(size), "keep_ratio": bool(options.get("keep_ratio", False))}
    if longest:
        # Of PaddleDetection 0.x: the shorter side, and what the longer one may be.
        step |= {"size": [int(size), int(longest)], "keep_ratio": True}
    return [step | _interpolation(options.get("interp", 1))]


def _interpolation(value: Any) -> Content:
    return {} if value is None else {"interpolation": _INTERPOLATIONS[value]}


def _classes_resize(options: Content) -> list[Content]:
    interpolation = _interpolation(options.get("interpolation"))
    if options.get("resize_short"):
        return [{"type": "ResizeShort", "length": int(options["resize_short"]), **interpolation}]
    # Theirs is width, height.
    return [{"type": "Resize", "size": _pair(options["size"])[::-1], **interpolation}]


def _crop(options: Content) -> list[Content]:
    return [{"type": "CenterCrop", "size": _pair(options["size"])[::-1]}]


def _page_resize(options: Content) -> list[Content]:
    """DetResizeForTest, by the one of its options that is given."""
    if options.get("image_shape"):
        return [
            {
                "type": "Resize",
                "size": _pair(options["image_shape"]),
                "keep_ratio": bool(options.get("keep_ratio")),
            }
        ]
    if options.get("resize_long"):
        return [{"type": "ResizeLong", "length": int(options["resize_long"]), "multiple": 128}]
    side = "long" if options.get("limit_type", "min") == "max" else "short"
    return [{"type": "ResizeLimit", "side": side, "length": int(options.get("limit_side_len") or 736)}]


def _letter_box(options: Content) -> list[Content]:
    size = _pair(options["target_size"])
    return [{"type": "Fit", "size": size, "place": "center", "value": 127.5, "interpolation": "area"}]


def _pad(options: Content) -> list[Content]:
    size = options.get("size") or [640, 640]
    value = (options.get("fill_value") or [127.5])[0]
    return [{"type": "Pad", "size": [int(length) for length in size[-2:]], "value": float(value)}]


def _pad_stride(options: Content) -> list[Content]:
    stride = int(options.get("stride", 0))
    return [{"type": "PadStride", "stride": stride}] if stride > 0 else []


_STEPS: Mapping[str, Callable[[Content], list[Content]]] = {
    "Resize": _detection_resize,
    "DetResize": _detection_resize,
    "LetterBoxResize": _letter_box,
    "Pad": _pad,
    "PadStride": _pad_stride,
    "ResizeImage": _classes_resize,
    "CropImage": _crop,
    "DetResizeForTest": _page_resize,
}
