"""What Paddle Lite's ARM kernels get wrong, as conditions on one op.

Passes write around them, and the verifier of files refuses what meets one, whoever wrote the file.
`qcc/targets/lite_arm.yaml` has a row for each, by the same name.
"""
