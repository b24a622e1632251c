"""Backbones between nnclr and Python: torchvision, timm and lightly.

Both sides use torchvision's parameter names, so a backbone travels as it is, in a safetensors file.
Needs torch, safetensors and torchvision; timm only for `timm_model`.
"""

import json

import torch
import torchvision
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torchvision.models.resnet import BasicBlock, Bottleneck

ARCHITECTURES = {
    "resnet10": (BasicBlock, [1, 1, 1, 1]),
    "resnet18": (BasicBlock, [2, 2, 2, 2]),
    "resnet34": (BasicBlock, [3, 4, 6, 3]),
    "resnet50": (Bottleneck, [3, 4, 6, 3]),
    "resnet101": (Bottleneck, [3, 4, 23, 3]),
    "resnet152": (Bottleneck, [3, 8, 36, 3]),
}

# What nnclr's `stem` puts in place of torchvision's first layers: stride of a 3x3 kernel, no max-pool.
SMALL_STEMS = {"cifar": 1, "small": 2}


# From Python to nnclr: what `train({ weights })` takes


def save_state(state: dict, path: str) -> None:
    """Any state_dict: torchvision's, timm's, or a whole lightly model's (`torch.load(ckpt)["state_dict"]`)."""
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)


# From nnclr to Python


def settings(path: str) -> dict:
    """What `path`, an exported backbone or a checkpoint, says about its training."""
    with safe_open(path, framework="pt") as file:
        return json.loads(file.metadata()["nnclr"])["config"]


def backbone_state(path: str) -> dict:
    """The backbone of an exported `backbone.safetensors` or of a checkpoint, with torchvision's names."""
    return part(path, "backbone") or load_file(path)


def part(path: str, name: str) -> dict:
    """`backbone`, `projection_head` or `prediction_head` of a checkpoint; the heads have lightly's names."""
    prefix = f"model/{name}."
    tensors = load_file(path)
    return {key[len(prefix) :]: t for key, t in tensors.items() if key.startswith(prefix)}


def torchvision_model(path: str) -> torch.nn.Module:
    """torchvision's ResNet: pictures to features. Put a layer in place of `fc` to fine-tune it."""
    config = settings(path)
    model = torchvision.models.ResNet(*ARCHITECTURES[config["backbone"]])
    model.fc = torch.nn.Identity()
    if config["stem"] in SMALL_STEMS:
        stride = SMALL_STEMS[config["stem"]]
        model.conv1 = torch.nn.Conv2d(3, 64, 3, stride=stride, padding=1, bias=False)
        model.maxpool = torch.nn.Identity()
    model.load_state_dict(backbone_state(path), strict=True)
    return model.eval()


def timm_model(path: str) -> torch.nn.Module:
    """timm's ResNet (stem `imagenet`): `forward_features` gives the map, calling it the features."""
    import timm

    model = timm.create_model(settings(path)["backbone"], pretrained=False, num_classes=0)
    model.load_state_dict(backbone_state(path), strict=True)
    return model.eval()


def lightly_backbone(path: str) -> torch.nn.Module:
    """The backbone as lightly's examples make it: numbered children, features `[N, D, 1, 1]`."""
    return torch.nn.Sequential(*list(torchvision_model(path).children())[:-1]).eval()
