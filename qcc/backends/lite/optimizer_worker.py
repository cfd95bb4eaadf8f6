"""The process in which Paddle Lite's own optimizer converts one model: it aborts its process on any error.

Started by `qcc.backends.lite.cross_check`, not imported.  Arguments: program, parameters, output without its
suffix, processor.
"""

from __future__ import annotations

import sys

from paddlelite.lite import Opt


def main() -> None:
    program, params, output, arch = sys.argv[1:]
    optimizer = Opt()
    optimizer.set_model_file(program)
    optimizer.set_param_file(params)
    optimizer.set_model_type("naive_buffer")
    optimizer.set_valid_places(arch)
    optimizer.set_optimize_out(output)
    optimizer.run()


if __name__ == "__main__":
    main()
