"""What the tools of Paddle leave beside a model: how its images are prepared, in the grammar of each."""

from __future__ import annotations

IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
LINE = {"mean": [0.5], "std": [0.5], "channels": "BGR"}

DETECTION = """\
mode: paddle
draw_threshold: 0.5
metric: COCO
use_dynamic_shape: false
arch: YOLO
Preprocess:
- interp: 2
  keep_ratio: false
  target_size:
  - 608
  - 416
  type: Resize
- is_scale: true
  mean: [0.485, 0.456, 0.406]
  std: [0.229, 0.224, 0.225]
  type: NormalizeImage
- type: Permute
label_list:
- person
"""
TWO_STAGES = """\
Preprocess:
- {type: Resize, interp: 1, keep_ratio: true, target_size: [800, 1333]}
- {type: NormalizeImage, is_scale: false, mean: [123.675, 116.28, 103.53], std: [58.4, 57.1, 57.4]}
- {type: Permute}
- {type: PadStride, stride: 32}
"""
NOT_NORMALIZED = """\
Preprocess:
- {type: LetterBoxResize, target_size: [640, 640]}
- {type: NormalizeImage, is_scale: true, mean: [0.0, 0.0, 0.0], norm_type: none, std: [1.0, 1.0, 1.0]}
- {type: Permute}
"""
POSES = """\
Preprocess:
- {trainsize: [192, 256], type: TopDownEvalAffine, use_udp: true}
- {is_scale: true, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225], type: NormalizeImage}
- {type: Permute}
"""
CENTRES = """\
Preprocess:
- {type: WarpAffine, keep_res: false, input_h: 512, input_w: 512}
- {type: NormalizeImage, is_scale: true, mean: [0.408, 0.447, 0.470], std: [0.289, 0.274, 0.278]}
- {type: Permute}
"""
OLD = """\
Preprocess:
- {interp: 2, max_size: 0, target_size: 608, type: Resize, use_cv2: true}
- {is_scale: true, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225], type: Normalize}
- {channel_first: true, to_bgr: false, type: Permute}
"""
OF_PILLOW = "Preprocess: [{type: Resize, interp: 1, max_size: 0, target_size: 300, use_cv2: false}]"
OF_ONE_SIZE = """\
Preprocess:
- {type: Normalize, is_scale: true, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}
- {type: Resize, image_shape: [3, 1333, 1333], interp: 1, max_size: 1333, target_size: 800, use_cv2: true}
- {type: Permute, channel_first: true, to_bgr: false}
"""
CLASSES = """\
Global: {model_name: PP-LCNet_x1_0}
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
  Topk: {topk: 5}
"""
WIDE_CLASSES = """\
PreProcess:
  transform_ops:
  - ResizeImage: {size: [160, 80], interpolation: bicubic}
  - NormalizeImage: {scale: 1.0/255.0}
  - ToCHWImage:
"""
BY_PILLOW = """\
PreProcess:
  transform_ops:
  - ResizeImage: {resize_short: 256, interpolation: bicubic, backend: pil}
  - ToCHWImage:
"""
PAGES = """\
PreProcess:
  transform_ops:
  - DecodeImage: {channel_first: false, img_mode: BGR}
  - DetLabelEncode: null
  - DetResizeForTest: %s
  - NormalizeImage:
      mean: [0.485, 0.456, 0.406]
      order: hwc
      scale: 1./255.
      std: [0.229, 0.224, 0.225]
  - ToCHWImage: null
  - KeepKeys: {keep_keys: [image, shape, polys, ignore_tags]}
"""
LINES = """\
PreProcess:
  transform_ops:
  - DecodeImage: {channel_first: false, img_mode: BGR}
  - MultiLabelEncode: {gtc_encode: NRTRLabelEncode}
  - RecResizeImg: {image_shape: [3, 48, 320]}
  - KeepKeys: {keep_keys: [image, label_ctc]}
"""

TURNED = """\
PreProcess:
  transform_ops:
  - DecodeImage: {channel_first: false, img_mode: BGR}
  - ClsResizeImg: {image_shape: [3, 48, 192]}
"""

NOT_NORMALIZED_AT_ALL = """\
Preprocess:
- {type: Resize, interp: 1, keep_ratio: true, target_size: [640, 640]}
- {type: Pad, fill_value: [114.0, 114.0, 114.0], size: [640, 640]}
- {type: Permute}
"""
TURNED_AT_THE_END = """\
Preprocess:
- {type: Resize, target_size: [8, 8], keep_ratio: true}
- {type: Pad, size: [8, 8], fill_value: [1, 2, 3]}
- {type: NormalizeImage, mean: [0.1, 0.2, 0.3], std: [0.4, 0.5, 0.6]}
- {type: Permute, to_bgr: true}
"""
PADDED_WITH_BLACK = """\
Preprocess:
- {type: Pad, size: [8, 8], fill_value: 0}
- {type: NormalizeImage, mean: [0.1, 0.2, 0.3], std: [0.4, 0.5, 0.6]}
- {type: Permute}
"""
BLUE_FIRST = "PreProcess: {transform_ops: [{DecodeImage: {to_rgb: false, channel_first: false}}, ToCHWImage]}"
TABLE = """\
PreProcess:
  transform_ops:
  - DecodeImage: {channel_first: false, img_mode: BGR}
  - TableLabelEncode: {max_text_length: 500}
  - TableBoxEncode: {in_box_format: xyxy}
  - ResizeTableImage: {max_len: 488}
  - NormalizeImage: {mean: [0.485, 0.456, 0.406], order: hwc, scale: 1./255., std: [0.229, 0.224, 0.225]}
  - PaddingTableImage: {size: [488, 488]}
  - ToCHWImage: null
"""
SEGMENTATION = """\
Deploy:
  input_shape: [-1, 3, -1, -1]
  model: model.pdmodel
  output_dtype: int32
  output_op: argmax
  params: model.pdiparams
  transforms:
  - aspect_ratio: 1.5
    type: PaddingByAspectRatio
  - target_size:
    - 398
    - 224
    type: Resize
  - type: Normalize
"""
MATTING = """\
Deploy:
  transforms:
  - {type: LoadImages}
  - {type: LimitShort, max_short: 512}
  - {type: ResizeToIntMult, mult_int: 32}
  - {type: Normalize, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}
  - {type: Padding, target_size: [1024, 512], im_padding_value: 0.5}
"""
# PaddleX 2 writes numbers of numpy as they are pickled; they are not read.
OF_PADDLEX = """\
Model: MobileNetV2
Transforms:
- ResizeByShort: {interp: LINEAR, max_size: -1, short_size: 256}
- CenterCrop: {crop_size: 224}
- Normalize:
    is_scale: true
    max_val: [255.0, 255.0, 255.0]
    mean: [0.485, 0.456, 0.406]
    min_val: [0, 0, 0]
    std: [0.229, 0.224, 0.225]
_Attributes:
  best_accuracy: !!python/object/apply:numpy.core.multiarray.scalar
  - !!python/object/apply:numpy.dtype
    args: [f4, false, true]
    state: !!python/tuple [3, <, null, null, null, -1, -1, 0]
  - !!binary |
    AACAPw==
status: Infer
version: 2.1.0
"""
OF_PADDLEX_1 = """\
BatchTransforms:
- BatchPadding: {coarsest_stride: 32}
Model: FasterRCNN
Transforms:
- Normalize: {mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}
- ResizeByShort: {max_size: 1333, short_size: 800}
TransformsMode: BGR
"""
