"""Writes JPEG pictures that any machine writes alike: smooth shapes with fine noise over them.

    python pictures.py small|photographs COUNT FOLDER

Files compress about as photographs do; what is on them has no meaning.
"""

import sys
from pathlib import Path

import numpy
from PIL import Image

SIZES = {"small": (32, 32), "photographs": (500, 375)}
CLASSES = 10

kind, count, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
width, height = SIZES[kind]
for number in range(count):
    draw = numpy.random.default_rng(number)
    coarse = Image.fromarray(draw.integers(0, 256, (6, 8, 3), dtype=numpy.uint8))
    smooth = numpy.asarray(coarse.resize((width, height), Image.BICUBIC), dtype=numpy.int16)
    noise = draw.normal(0, 8, (height, width, 3)).astype(numpy.int16)
    picture = Image.fromarray((smooth + noise).clip(0, 255).astype(numpy.uint8))
    path = folder / f"class{number % CLASSES}" / f"{number:06}.jpg"
    path.parent.mkdir(exist_ok=True)
    picture.save(path, quality=90)
