"""Says where the packages are: the folder `train/` is the package `qcc.train`.

It must not be a top-level package `train`, where it would hide a user's own `train.py`. The mapping
needs code, since `pyproject.toml` can either list packages by hand or find them, but not rename them.
"""

from setuptools import find_packages, setup

setup(
    packages=[
        *find_packages(include=["qcc", "qcc.*"]),
        *(f"qcc.{package}" for package in find_packages(include=["train", "train.*"])),
    ],
    package_dir={"qcc.train": "train"},
)
