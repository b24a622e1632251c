"""Prints what the environment holds."""

import json
import platform
from importlib.metadata import version

PACKAGES = ["torch", "torchvision", "lightly", "pytorch-lightning", "numpy", "pillow"]
print(json.dumps({"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}))
