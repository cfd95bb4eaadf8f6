"""Networks of PaddleDetection, PaddleSeg and PaddleClas, saved by Paddle 3.3.1 with what it computes.

Runs under paddlepaddle 3.3.1, with PyYAML, opencv and scipy. FOLDER is what this has filled:

    pip install --no-deps --target FOLDER paddledet==2.6.0 paddleseg==2.8.0 paddleclas==2.6.0

What else these import, for training, is left out.

    PYTHONPATH=tools python tools/paddle3/zoo.py FOLDER tests/qcc/frontend/paddle3/zoo.json.gz [NAME ...]
"""

from __future__ import annotations

import importlib
import importlib.machinery
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paddle
from paddle.static import InputSpec
from paddle3.saving import Cases
from paddle3.values import Input

LEFT_OUT = frozenset(
    (
        "albumentations", "colorlog", "cython_bbox", "easydict", "faiss", "filelock", "imgaug",
        "lap", "matplotlib", "motmetrics", "mpl_toolkits", "numba", "pandas", "pgl", "prettytable",
        "pycocotools", "rarfile", "requests", "shapely", "skimage", "sklearn", "terminaltables",
        "ujson", "visualdl", "xlrd", "zmq",
    )
)  # fmt: skip


class Stub(types.ModuleType):
    """A module that is imported and never used."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {"__init__": lambda self, *args, **options: None})


class Finder:
    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name.split(".")[0] in LEFT_OUT:
            return importlib.machinery.ModuleSpec(name, self, is_package=True)  # type: ignore[arg-type]
        return None

    def create_module(self, spec: Any) -> Any:
        return Stub(spec.name)

    def exec_module(self, module: Any) -> None:
        module.__path__ = []


def picture(size: int | None, side: int) -> tuple[list[Any], list[Input]]:
    return [InputSpec([None, 3, size, size], "float32", "x")], [Input(0, (1, 3, side, side), "float32", 0.0)]


def classifier(cases: Cases, name: str, module: str, network: str) -> None:
    found = importlib.import_module(f"ppcls.arch.backbone.legendary_models.{module}")
    cases.save(name, getattr(found, network)(class_num=10), *picture(None, 64))


def segmenter(cases: Cases) -> None:
    from paddleseg.models.backbones.stdcnet import STDC1
    from paddleseg.models.pp_liteseg import PPLiteSeg

    class Argmax(paddle.nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.net = PPLiteSeg(19, STDC1())

        def forward(self, x: Any) -> Any:
            scores = self.net(x)[0]
            return paddle.argmax(scores, axis=1).astype("int32"), scores

    cases.save("PP-LiteSeg", Argmax(), *picture(None, 128))


YOLOE = {
    "architecture": "YOLOv3",
    "YOLOv3": {
        "backbone": "CSPResNet",
        "neck": "CustomCSPPAN",
        "yolo_head": "PPYOLOEHead",
        "post_process": None,
    },
    "CSPResNet": {
        "layers": [3, 6, 6, 3],
        "channels": [64, 128, 256, 512, 1024],
        "return_idx": [1, 2, 3],
        "use_large_stem": True,
        "use_alpha": True,
    },
    "CustomCSPPAN": {
        "out_channels": [768, 384, 192],
        "stage_num": 1,
        "block_num": 3,
        "act": "swish",
        "spp": True,
    },
    "PPYOLOEHead": {
        "fpn_strides": [32, 16, 8],
        "grid_cell_scale": 5.0,
        "grid_cell_offset": 0.5,
        "static_assigner_epoch": 30,
        "use_varifocal_loss": True,
        "loss_weight": {"class": 1.0, "iou": 2.5, "dfl": 0.5},
        "static_assigner": None,
        "assigner": None,
        "nms": {
            "name": "MultiClassNMS",
            "nms_top_k": 1000,
            "keep_top_k": 300,
            "score_threshold": 0.0001,
            "nms_threshold": 0.7,
        },
    },
    "norm_type": "bn",
    "use_ema": True,
    "ema_decay": 0.9998,
    "num_classes": 80,
    "depth_mult": 0.33,
    "width_mult": 0.50,
    "use_gpu": False,
}
PICODET = {
    "architecture": "PicoDet",
    "num_classes": 80,
    "use_gpu": False,
    "PicoDet": {"backbone": "LCNet", "neck": "LCPAN", "head": "PicoHeadV2"},
    "LCNet": {"scale": 0.75, "feature_maps": [3, 4, 5]},
    "LCPAN": {"out_channels": 96, "use_depthwise": True, "num_features": 4},
    "PicoHeadV2": {
        "conv_feat": {
            "name": "PicoFeat",
            "feat_in": 96,
            "feat_out": 96,
            "num_convs": 2,
            "num_fpn_stride": 4,
            "norm_type": "bn",
            "share_cls_reg": True,
            "use_se": True,
        },
        "fpn_stride": [8, 16, 32, 64],
        "feat_in_chan": 96,
        "prior_prob": 0.01,
        "reg_max": 7,
        "cell_offset": 0.5,
        "grid_cell_scale": 5.0,
        "static_assigner_epoch": 100,
        "use_align_head": True,
        "static_assigner": None,
        "assigner": None,
        "loss_class": {
            "name": "VarifocalLoss",
            "use_sigmoid": False,
            "iou_weighted": True,
            "loss_weight": 1.0,
        },
        "loss_dfl": {"name": "DistributionFocalLoss", "loss_weight": 0.5},
        "loss_bbox": {"name": "GIoULoss", "loss_weight": 2.5},
        "nms": {
            "name": "MultiClassNMS",
            "nms_top_k": 1000,
            "keep_top_k": 100,
            "score_threshold": 0.025,
            "nms_threshold": 0.6,
        },
    },
}


def nms(
    bboxes: Any,
    scores: Any,
    score_threshold: float,
    nms_top_k: int,
    keep_top_k: int,
    nms_threshold: float = 0.3,
    normalized: bool = True,
    nms_eta: float = 1.0,
    background_label: int = -1,
    return_index: bool = False,
    return_rois_num: bool = True,
    rois_num: Any = None,
    name: Any = None,
) -> Any:
    """PaddleDetection's own puts an op into a program of Paddle 2."""
    options = (score_threshold, nms_top_k, keep_top_k, nms_threshold, normalized, nms_eta, background_label)
    out, index, count = paddle._C_ops.multiclass_nms3(bboxes, scores, rois_num, *options)
    return out, count, (index if return_index else None)


def detector(cases: Cases, name: str, config: dict[str, Any], deploy: bool) -> None:
    """`deploy`: convert blocks for inference first; without it, parameters decide branches."""
    import ppdet.modeling as _  # noqa: F401  (registers what a configuration may name)
    import ppdet.modeling.ops as ops
    from ppdet.core.workspace import create, global_config

    ops.multiclass_nms = paddle.jit.not_to_static(nms)
    for key, value in config.items():
        known = global_config.get(key)
        if isinstance(value, dict) and known is not None:
            known.update(value)
        else:
            global_config[key] = value
    net = create(config["architecture"])
    net.eval()
    for layer in net.sublayers():
        if deploy and hasattr(layer, "convert_to_deploy"):
            layer.convert_to_deploy()

    class Fed(paddle.nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, image: Any, scale_factor: Any) -> Any:
            return self.net({"image": image, "scale_factor": scale_factor})

    side = 128
    specs = [
        InputSpec([None, 3, side, side], "float32", "image"),
        InputSpec([None, 2], "float32", "scale_factor"),
    ]
    inputs = [Input(0, (1, 3, side, side), "float32", 0.0), Input(0, (1, 2), "float32", 1.0, 1.0)]
    cases.save(name, Fed(), specs, inputs)


NETWORKS: dict[str, Callable[[Cases], None]] = {
    "PP-HGNetV2": lambda cases: classifier(cases, "PP-HGNetV2", "pp_hgnet_v2", "PPHGNetV2_B0"),
    "PP-LCNet": lambda cases: classifier(cases, "PP-LCNet", "pp_lcnet", "PPLCNet_x0_5"),
    "PP-LiteSeg": segmenter,
    "PP-YOLOE+": lambda cases: detector(cases, "PP-YOLOE+", YOLOE, deploy=True),
    "PP-YOLOE+ as trained": lambda cases: detector(cases, "PP-YOLOE+ as trained", YOLOE, deploy=False),
    "PicoDet": lambda cases: detector(cases, "PicoDet", PICODET, deploy=True),
}


def main(folder: Path, path: Path, names: list[str]) -> None:
    sys.path[:0] = [str(folder), str(folder / "paddleclas")]
    sys.meta_path.append(Finder())  # type: ignore[arg-type]
    cases = Cases(path)
    for name in names or NETWORKS:
        with paddle.utils.unique_name.guard():
            NETWORKS[name](cases)
        cases.write()
        print(name, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
