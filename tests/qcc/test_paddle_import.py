from __future__ import annotations

import subprocess
import sys


def test_gzip_works_after_paddle_in_a_fresh_process() -> None:
    program = "import qcc._paddle, gzip; assert gzip.decompress(gzip.compress(b'x' * 9999)) == b'x' * 9999"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
