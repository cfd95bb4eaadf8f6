"""Quantization-aware training on a transformed graph. Imported as `qcc.train`."""
