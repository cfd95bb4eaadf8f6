"""Programs of Paddle 3 (`inference.json`), turned into what Paddle 2.6 would have saved; Paddle 3 is not
needed.

`read.py` reads and checks a file, `convert.py` walks over its ops. Most are a row of `data/ops.tsv`; `rules/`
has those that are more than that. The parameters' file is the same in both and is taken as it is.
"""

from __future__ import annotations

from qcc.frontend.paddle3.convert import convert, declared
from qcc.frontend.paddle3.read import read

__all__ = ["convert", "declared", "read"]
