"""What Paddle 3.3.1 computes from PP-OCRv5's files, for tests/qcc/frontend/paddle3.

Runs under paddlepaddle 3.3.1. FOLDER is that of the data set pp-ocr-v5:

    PYTHONPATH=tools python tools/paddle3/ocr.py FOLDER tests/qcc/frontend/paddle3/ocr.json
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
from paddle3.saving import run
from paddle3.values import picture

SIZES = {"PP-OCRv5_mobile_det": (64, 96), "PP-OCRv5_mobile_rec": (48, 160)}


def main(folder: Path, target: Path) -> None:
    found = {}
    for name, size in SIZES.items():
        (output,) = run(str(folder / name / "inference"), [picture(0, *size)])
        found[name] = {
            "size": size,
            "shape": output.shape,
            "largest": float(np.abs(output).max()),
            "sha256": hashlib.sha256(output.tobytes()).hexdigest(),
        }
    target.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
