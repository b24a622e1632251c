"""Features of torchvision's ResNet-18 in evaluation mode; prints images a second.

Settings (JSON): data, imageSize, batchSize, seconds (to measure for), precision, form: `batches` has
normalised batches in memory before the clock starts, `files` reads each file once, the loader's workers
included; workers (of `files`). bf16 runs as PyTorch recommends on a CPU: autocast, channels-last.
"""

import json
import sys
import time
from contextlib import nullcontext

import torch
import torchvision
from lightly.data import LightlyDataset
from torch import nn
from torchvision import transforms as T

settings = json.loads(sys.argv[1])
side = settings["imageSize"]
transform = T.Compose(
    [
        T.Resize(side),
        T.CenterCrop(side),
        T.ToTensor(),
        T.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ]
)
backbone = nn.Sequential(*list(torchvision.models.resnet18().children())[:-1]).eval()
autocast = nullcontext()
memory_format = torch.contiguous_format
if settings["precision"] == "bf16":
    autocast = torch.autocast("cpu", dtype=torch.bfloat16)
    memory_format = torch.channels_last
backbone = backbone.to(memory_format=memory_format)


def loader(workers):
    dataset = LightlyDataset(settings["data"], transform=transform)
    return torch.utils.data.DataLoader(
        dataset, batch_size=settings["batchSize"], num_workers=workers
    )


def features(batch):
    return backbone(batch.to(memory_format=memory_format)).flatten(start_dim=1).float()


images = 0
with torch.inference_mode(), autocast:
    batches = [batch[0].to(memory_format=memory_format) for batch in loader(0)]
    features(batches[0])
    start = time.perf_counter()
    if settings["form"] == "files":
        found = torch.cat([features(batch[0]) for batch in loader(settings["workers"])])
        images = len(found)
    else:
        while time.perf_counter() - start < settings["seconds"]:
            for batch in batches:
                images += len(features(batch))
    seconds = time.perf_counter() - start
print(json.dumps({"imagesPerSecond": images / seconds}))
