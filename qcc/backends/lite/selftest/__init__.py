"""A folder by which a file is tried on a device: inputs, what must come out, and a program that compares."""

from qcc.backends.lite.selftest.twin import passed, run_selftest
from qcc.backends.lite.selftest.write import FOR_DEVICES, write_selftest

__all__ = ["FOR_DEVICES", "passed", "run_selftest", "write_selftest"]
