"""signatures.tsv: the order of operands and results, from the header in the wheel of paddlepaddle 3.3.1.

python tools/paddle3/signatures.py paddlepaddle-3.3.1-*.whl qcc/frontend/paddle3/data/signatures.tsv
"""

from __future__ import annotations

import re
import sys
import zipfile
from pathlib import Path

FOLDER = "paddle/include/paddle/fluid/pir/dialect/operator/ir/"
HEADERS = ("pd_op.h", "manual_op.h", "control_flow_op.h", "manual_pylayer_op.h")
OP = re.compile(r"class\s+(?:TEST_API\s+|IR_API\s+)?\w+\s*:\s*public pir::Op<.*?>\s*\{(.*?)\n\};", re.DOTALL)
NAME = re.compile(r'name\(\)\s*\{\s*return\s*"([^"]+)"')
OPERAND = re.compile(r"pir::Value (\w+)\(\)\s*(?:const)?\s*\{\s*return operand_source\((\d+)\);")
RESULT = re.compile(r"pir::Value (\w+)\(\)\s*(?:const)?\s*\{\s*return result\((\d+)\);")
# No target of qcc runs these, and a file that holds one is refused whatever its operands are.
LEFT_OUT = re.compile(r"_grad_?$|_grad_|_sp_?$|_sr_?$|_xpu_?$|^onednn_op|^custom_op")


def signatures(text: str) -> dict[str, tuple[str, str]]:
    found = {}
    for op in OP.finditer(text):
        name = NAME.search(op.group(1))
        if name and not LEFT_OUT.search(name.group(1)):
            found[name.group(1)] = (ordered(OPERAND, op.group(1)), ordered(RESULT, op.group(1)))
    return found


def ordered(accessor: re.Pattern[str], body: str) -> str:
    return " ".join(name for name, _ in sorted(accessor.findall(body), key=lambda pair: int(pair[1])))


def main(wheel: Path, target: Path) -> None:
    found: dict[str, tuple[str, str]] = {}
    with zipfile.ZipFile(wheel) as archive:
        for header in HEADERS:
            found |= signatures(archive.read(FOLDER + header).decode())
    lines = ["\t".join((name, *slots)) for name, slots in sorted(found.items())]
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
