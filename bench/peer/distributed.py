"""lightly 1.6's example program on several ranks of one machine: DistributedDataParallel over Gloo,
negatives gathered, one epoch; rank 0 prints its numbers. Starts its ranks itself, by torchrun.

Settings (JSON): those of training.py, and ranks. The batch is that of all ranks together.
"""

import json
import os
import sys
import time

settings = json.loads(sys.argv[1])

if "RANK" not in os.environ:
    threads = max(1, int(os.environ.get("OMP_NUM_THREADS", "1")) // settings["ranks"])
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(threads)
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(settings["ranks"])]
    os.execv(sys.executable, [sys.executable, *launch, *sys.argv])

import torch
import torchvision
from lightly.data import LightlyDataset
from lightly.loss import NTXentLoss
from lightly.models.modules import NNCLRPredictionHead, NNCLRProjectionHead, NNMemoryBankModule
from lightly.transforms.simclr_transform import SimCLRTransform
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data.distributed import DistributedSampler

torch.distributed.init_process_group("gloo")
rank, ranks = torch.distributed.get_rank(), torch.distributed.get_world_size()


class NNCLR(nn.Module):
    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone
        self.projection_head = NNCLRProjectionHead(*settings["projectionHead"])
        self.prediction_head = NNCLRPredictionHead(*settings["predictionHead"])

    def forward(self, x0, x1):
        """Both views in one call, as DistributedDataParallel wants it."""
        return [self.one(x) for x in (x0, x1)]

    def one(self, x):
        z = self.projection_head(self.backbone(x).flatten(start_dim=1))
        return z.detach(), self.prediction_head(z)


def loader(folder):
    dataset = LightlyDataset(folder, transform=SimCLRTransform(input_size=settings["imageSize"]))
    return torch.utils.data.DataLoader(
        dataset,
        batch_size=settings["batchSize"] // ranks,
        sampler=DistributedSampler(dataset, drop_last=True),
        drop_last=True,
        num_workers=settings["workers"] // ranks,
    )


resnet = getattr(torchvision.models, settings["backbone"])()
# Buffers stay each rank's own, or the second forward of a step would find them changed.
model = DistributedDataParallel(
    NNCLR(nn.Sequential(*list(resnet.children())[:-1])), broadcast_buffers=False
)
memory_bank = NNMemoryBankModule(size=tuple(settings["bank"]))
criterion = NTXentLoss(gather_distributed=True)
optimizer = torch.optim.SGD(model.parameters(), lr=0.06)


def epoch(dataloader):
    """Steps done and the mean loss of this rank."""
    total_loss = 0
    for batch in dataloader:
        x0, x1 = batch[0]
        (z0, p0), (z1, p1) = model(x0, x1)
        z0 = memory_bank(z0, update=False)
        z1 = memory_bank(z1, update=True)
        loss = 0.5 * (criterion(z0, p1) + criterion(z1, p0))
        total_loss += loss.detach()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return len(dataloader), float(total_loss) / len(dataloader)


if settings["warmUp"] is not None:
    epoch(loader(settings["warmUp"]))
dataloader = loader(settings["data"])
start = time.perf_counter()
steps, loss = epoch(dataloader)
seconds = time.perf_counter() - start
images = steps * settings["batchSize"] // ranks * ranks
numbers = {"seconds": seconds, "imagesPerSecond": images / seconds, "steps": steps, "loss": loss}
if rank == 0:
    print(json.dumps(numbers))
torch.distributed.destroy_process_group()
