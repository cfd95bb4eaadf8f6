"""Tables of ops, made by `tools/paddle3`; `qcc.frontend.paddle3.tables` says what stands in them."""
