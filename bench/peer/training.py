"""lightly 1.6's example program (examples/pytorch/nnclr.py) on a folder, one epoch; prints its numbers.

Settings (JSON): data, warmUp (a folder for an epoch that is not timed, or null), imageSize, backbone,
batchSize, workers, projectionHead, predictionHead, bank, precision.
"""

import time

BEGUN = time.perf_counter()

import json
import sys
from contextlib import nullcontext

import torch
import torchvision
from lightly.data import LightlyDataset
from lightly.loss import NTXentLoss
from lightly.models.modules import NNCLRPredictionHead, NNCLRProjectionHead, NNMemoryBankModule
from lightly.transforms.simclr_transform import SimCLRTransform
from torch import nn

settings = json.loads(sys.argv[1])


class NNCLR(nn.Module):
    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone
        self.projection_head = NNCLRProjectionHead(*settings["projectionHead"])
        self.prediction_head = NNCLRPredictionHead(*settings["predictionHead"])

    def forward(self, x):
        y = self.backbone(x).flatten(start_dim=1)
        z = self.projection_head(y)
        p = self.prediction_head(z)
        return z.detach(), p


def loader(folder):
    return torch.utils.data.DataLoader(
        LightlyDataset(folder, transform=SimCLRTransform(input_size=settings["imageSize"])),
        batch_size=settings["batchSize"],
        shuffle=True,
        drop_last=True,
        num_workers=settings["workers"],
    )


resnet = getattr(torchvision.models, settings["backbone"])()
model = NNCLR(nn.Sequential(*list(resnet.children())[:-1]))
memory_bank = NNMemoryBankModule(size=tuple(settings["bank"]))
criterion = NTXentLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.06)
first_step = None


def precision():
    if settings["precision"] == "fp32":
        return nullcontext()
    return torch.autocast("cpu", dtype=torch.bfloat16)


def epoch(dataloader):
    """Steps done and the mean loss."""
    global first_step
    total_loss = 0
    for batch in dataloader:
        x0, x1 = batch[0]
        with precision():
            z0, p0 = model(x0)
            z1, p1 = model(x1)
            z0 = memory_bank(z0, update=False)
            z1 = memory_bank(z1, update=True)
            loss = 0.5 * (criterion(z0, p1) + criterion(z1, p0))
        total_loss += loss.detach()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if first_step is None:
            first_step = time.perf_counter() - BEGUN
    return len(dataloader), float(total_loss) / len(dataloader)


if settings["warmUp"] is not None:
    epoch(loader(settings["warmUp"]))
dataloader = loader(settings["data"])
start = time.perf_counter()
steps, loss = epoch(dataloader)
seconds = time.perf_counter() - start
images = steps * settings["batchSize"]
numbers = {"seconds": seconds, "imagesPerSecond": images / seconds, "firstStep": first_step}
print(json.dumps({**numbers, "steps": steps, "loss": loss}))
