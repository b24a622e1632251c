"""Weights travel: with the same weights and pictures, nnclr and Python compute the same features.

    python interop/check.py

Every case runs both programs for real, in fp32. A line shows how far apart the features are, and how
far each side is from Python's network in float64: what is rounding, and whose. Numbers are the largest
difference as a share of the largest feature; features more than 1e-5 apart fail the check.
Needs torch, torchvision, timm, lightly, safetensors and pillow.
"""

import copy
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy
import timm
import torch
import torchvision
from lightly.models.modules import NNCLRPredictionHead, NNCLRProjectionHead
from PIL import Image

import backbones

LIMIT = 1e-5
SIDE = 64  # of the pictures, and `imageSize`: nothing is resampled
COUNT = 16
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
ROOT = Path(__file__).resolve().parent.parent


def pictures(folder: Path) -> torch.Tensor:
    """Writes smooth random PNGs; their pixels as a network gets them."""
    folder.mkdir()
    draw = numpy.random.default_rng(0)
    stack = []
    for number in range(COUNT):
        coarse = Image.fromarray(draw.integers(0, 256, (8, 8, 3), dtype=numpy.uint8))
        picture = coarse.resize((SIDE, SIDE), Image.BICUBIC)
        picture.save(folder / f"{number:02}.png")
        stack.append(numpy.asarray(picture))
    pixels = torch.from_numpy(numpy.stack(stack)).permute(0, 3, 1, 2).float() / 255
    return torchvision.transforms.functional.normalize(pixels, MEAN, DEVIATION)


def awaken(model: torch.nn.Module, x: torch.Tensor) -> torch.nn.Module:
    """Random norms with statistics of real activations: a fresh network's 0 and 1 would hide mistakes.

    Each block adds little to its input, as in a trained network. Otherwise fifty random layers
    amplify rounding until Python's own fp32 is off by 6e-5.
    """
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.1)
            module.momentum = 1.0  # One forward settles the statistics.
    with torch.no_grad():
        for module in model.modules():
            last = getattr(module, "bn3", getattr(module, "bn2", None))
            if last is not None:
                last.weight.mul_(0.25)
        model.train()(x)
    return model.eval()


def nnclr(out: Path, data: Path, weights: Path | None, epochs: int, backbone: str, stem: str):
    """Runs features.ts; what it said and the features `[COUNT, D]`."""
    job = {"data": data, "out": out, "weights": weights, "epochs": epochs}
    job |= {"backbone": backbone, "stem": stem, "imageSize": SIDE}
    words = ["node", "--import=@oxc-node/core/register", "interop/features.ts"]
    words.append(json.dumps(job, default=str))
    done = subprocess.run(words, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    told = json.loads(done.stdout)
    assert [Path(path).name for path in told["paths"]] == [f"{n:02}.png" for n in range(COUNT)]
    return told, torch.from_numpy(numpy.fromfile(out / "features.f32", "<f4").reshape(COUNT, -1))


class Check:
    """The cases and what came of them."""

    def __init__(self, folder: Path):
        self.folder, self.data, self.failed, self.runs = folder, folder / "pictures", 0, 0
        self.x = pictures(self.data)

    def run(self, weights: Path | None, epochs: int, backbone: str, stem: str = "imagenet"):
        self.runs += 1
        return nnclr(self.folder / f"run{self.runs}", self.data, weights, epochs, backbone, stem)

    def compare(self, case: str, ours: torch.Tensor, model: torch.nn.Module) -> None:
        with torch.no_grad():
            exact = copy.deepcopy(model).double()(self.x.double()).flatten(1)
            theirs = model(self.x).flatten(1)
        pairs = [(ours, theirs), (ours, exact), (theirs, exact)]
        apart, own, other = (((a - b).abs().max() / exact.abs().max()).item() for a, b in pairs)
        verdict = "ok  " if apart <= LIMIT else "FAIL"
        self.failed += verdict != "ok  "
        print(f"{verdict} {apart:.1e} (nnclr {own:.1e}, Python {other:.1e})  {case}", flush=True)

    def bring_in(self, case: str, model: torch.nn.Module, state: dict, backbone: str) -> None:
        """From Python to nnclr."""
        weights = self.folder / "weights.safetensors"
        backbones.save_state(state, weights)
        told, features = self.run(weights, 0, backbone)
        self.compare(f"{case} -> nnclr", features, model)
        for note in told["notes"]:
            print(f"     said: {note.replace(str(self.folder), '')}")

    def take_out(self, backbone: str, stem: str = "imagenet") -> None:
        """From nnclr, after some steps of training, to Python."""
        told, features = self.run(None, 2, backbone, stem)
        exported, checkpoint = told["exported"], told["checkpoint"]
        name = f"nnclr, {backbone}, stem {stem}"
        self.compare(f"{name}, exported -> torchvision", features, backbones.torchvision_model(exported))
        model = backbones.torchvision_model(checkpoint)
        self.compare(f"{name}, checkpoint -> torchvision", features, model)
        model = backbones.lightly_backbone(exported)
        self.compare(f"{name}, exported -> lightly", features, model)
        if stem == "imagenet":
            self.compare(f"{name}, exported -> timm", features, backbones.timm_model(exported))
        heads = {
            "projection_head": NNCLRProjectionHead(features.shape[1], 32, 16),
            "prediction_head": NNCLRPredictionHead(16, 32, 16),
        }
        for part, head in heads.items():
            head.load_state_dict(backbones.part(checkpoint, part), strict=True)


class LightlyModel(torch.nn.Module):
    """NNCLR as lightly's examples write it."""

    def __init__(self, resnet: torch.nn.Module):
        super().__init__()
        self.backbone = torch.nn.Sequential(*list(resnet.children())[:-1])
        self.projection_head = NNCLRProjectionHead(512, 512, 128)
        self.prediction_head = NNCLRPredictionHead(128, 512, 128)


def main() -> int:
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as name:
        check = Check(Path(name))
        for arch in ["resnet18", "resnet50"]:
            model = awaken(torchvision.models.get_model(arch, weights=None), check.x)
            state = model.state_dict()
            model.fc = torch.nn.Identity()
            check.bring_in(f"torchvision {arch}", model, state, arch)
        model = awaken(timm.create_model("resnet18", pretrained=False, num_classes=0), check.x)
        check.bring_in("timm resnet18", model, model.state_dict(), "resnet18")
        model = LightlyModel(torchvision.models.resnet18(weights=None))
        awaken(model.backbone, check.x)
        check.bring_in("lightly NNCLR, numbered names", model.backbone, model.state_dict(), "resnet18")
        check.take_out("resnet18")
        check.take_out("resnet50")
        check.take_out("resnet10", "cifar")
        check.take_out("resnet10", "small")
        print(f"{check.failed} failed" if check.failed else "all agree")
        return 1 if check.failed else 0


if __name__ == "__main__":
    sys.exit(main())
