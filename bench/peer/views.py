"""Batches of two views through lightly's SimCLRTransform, in this process; prints images a second.

Settings (JSON): data, imageSize, batchSize, seconds (to measure for), decoded (pictures are decoded
before the clock starts, as torchvision's CIFAR10 holds them).
"""

import json
import sys
import time

import torch
from lightly.data import LightlyDataset
from lightly.transforms.simclr_transform import SimCLRTransform

settings = json.loads(sys.argv[1])
transform = SimCLRTransform(input_size=settings["imageSize"])


class Decoded(torch.utils.data.Dataset):
    """Pictures in memory."""

    def __init__(self, folder):
        self.pictures = [sample[0].convert("RGB") for sample in LightlyDataset(folder)]

    def __len__(self):
        return len(self.pictures)

    def __getitem__(self, index):
        return transform(self.pictures[index]), 0


data = settings["data"]
dataset = Decoded(data) if settings["decoded"] else LightlyDataset(data, transform=transform)
dataloader = torch.utils.data.DataLoader(
    dataset, batch_size=settings["batchSize"], shuffle=True, drop_last=True
)
for _ in dataloader:  # also brings the files into the system's cache
    pass
images = 0
start = time.perf_counter()
while time.perf_counter() - start < settings["seconds"]:
    for batch in dataloader:
        images += len(batch[0][0])
print(json.dumps({"imagesPerSecond": images / (time.perf_counter() - start)}))
