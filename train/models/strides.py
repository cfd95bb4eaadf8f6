"""Strides that configuration and network share; importing this does not import Paddle."""

# One stride for the first convolution and one per block: MobileNetV1's own, for images of 224 x 224.
IMAGENET_STRIDES = (2, 1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)
