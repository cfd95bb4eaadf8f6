"""What the suites of Paddle say of how images are prepared, each in its words, as a `Preprocess`.

Nothing in their files is run: an operation that is not known here is an error.
"""

from qcc.calibrate.data.suites.reader import NAMES, is_of_a_suite, read_foreign

__all__ = ["NAMES", "is_of_a_suite", "read_foreign"]
