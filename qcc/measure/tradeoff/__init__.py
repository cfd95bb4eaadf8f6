"""Which layers of a quantized model stay float so that it is fast enough on an engine of this machine."""
