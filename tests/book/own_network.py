"""A network of one's own as a person has it: files of its weights, a profile, and no data; later a few images."""

import zipfile
from io import BytesIO
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from dfnas import __main__

CLASSES = ("disc", "ring", "square", "frame", "diamond", "cross", "bar")
SIDE = 48
MODULE = """
from torch import nn


def small(width):
    layers = []
    for before, after in ((3, width), (width, 2 * width), (2 * width, 4 * width)):
        layers += [nn.Conv2d(before, after, 3, 2, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * width, 7))
"""
BUILDER = "seven_shapes:small(width=8)"


def shapes(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Images uint8 [count, 3, 48, 48] of a shape before a ground, somewhere and of some size; their classes in turn."""
    generator = torch.Generator().manual_seed(seed)
    classes = torch.arange(count) % len(CLASSES)
    centre, radius = (torch.rand(part, count, 1, 1, generator=generator) for part in (2, 1))
    radius = 10 + 6 * radius[0]
    x, y = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    x, y = (((at - 18 - 12 * c) / radius).abs() for at, c in zip((x, y), centre, strict=True))
    round_, wide, slanted = (x**2 + y**2).sqrt(), torch.maximum(x, y), x + y
    crossed, bar = (torch.minimum(x, y) < 0.25) & (wide < 1), (x < 0.3) & (y < 1)
    ring, frame = (round_ < 1) & (round_ > 0.6), (wide < 0.85) & (wide > 0.5)
    masks = torch.stack([round_ < 1, ring, wide < 0.85, frame, slanted < 1.2, crossed, bar])
    mask = masks[classes, torch.arange(count)][:, None]
    ground, colour = torch.rand(2, count, 3, 1, 1, generator=generator)
    images = torch.where(mask, 0.6 + 0.4 * colour, 0.4 * ground)
    noise = 0.05 * torch.randn(count, 3, SIDE, SIDE, generator=generator)
    return (255 * (images + noise).clamp(0, 1)).round().to(torch.uint8), classes


def trained() -> nn.Module:
    """The network, trained for seconds; its weights are such as half precision holds without loss."""
    names: dict = {}
    exec(MODULE, names)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = names["small"](8)
    images, classes = shapes(700, seed=0)
    inputs = images.float() / 127.5 - 1
    optimiser = torch.optim.Adam(network.parameters(), 0.01)
    for step in range(80):
        rows = torch.arange(step * 70, step * 70 + 70) % len(inputs)
        optimiser.zero_grad()
        F.cross_entropy(network(inputs[rows]), classes[rows]).backward()
        optimiser.step()
    return network.half().float().eval()


def write(folder: Path) -> dict[str, Path]:
    """The network as six kinds of file and, beside them, the module that builds it and the names of its classes."""
    network = trained()
    state = {name: value.clone() for name, value in network.state_dict().items()}
    lightning = {
        "epoch": 3,
        "global_step": 240,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": {f"model.{name}": value for name, value in state.items()},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 0.01}]}],
        "hyper_parameters": {"width": 8},
    }
    kinds = {
        "plain": state,
        "wrapped": {"epoch": 3, "state_dict": {f"module.{name}": value for name, value in state.items()}},
        "lightning": lightning,
        "half": {name: value.half() if value.is_floating_point() else value for name, value in state.items()},
    }
    files = {kind: folder / f"{kind}.pt" for kind in kinds}
    for kind, content in kinds.items():
        torch.save(content, files[kind])
    files["safetensors"], files["program"] = folder / "weights.safetensors", folder / "network.pt2"
    save_file(state, files["safetensors"])
    batch = ({0: torch.export.Dim.DYNAMIC},)
    program = torch.export.export(network, (torch.zeros(2, 3, SIDE, SIDE),), dynamic_shapes=batch)
    torch.export.save(program, files["program"])
    (folder / "seven_shapes.py").write_text(MODULE, encoding="utf-8")
    (folder / "names.txt").write_text("\n".join(CLASSES), encoding="utf-8")
    return files


def profile(folder: Path, weights: Path) -> Path:
    """The profile that the book's command proposes for the network."""
    out = folder / "own.toml"
    arguments = ["--teacher", BUILDER, "--weights", str(weights), "--input", f"3x{SIDE}x{SIDE}", "--base", "smoke"]
    assert __main__.main(["new-profile", *arguments, "--classes", str(folder / "names.txt"), str(out)]) == 0
    return out


def few_images(path: Path) -> None:
    """Twenty labelled images of each class as a zip, and none to learn from."""
    with zipfile.ZipFile(path, "w") as archive:
        for number, (image, label) in enumerate(zip(*shapes(20 * len(CLASSES), seed=1), strict=True)):
            content = BytesIO()
            Image.fromarray(image.permute(1, 2, 0).numpy()).save(content, "PNG")
            archive.writestr(f"shapes/test/{CLASSES[int(label)]}/{number:03d}.png", content.getvalue())
