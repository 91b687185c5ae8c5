"""Networks as files: without this package they compute what they compute with it."""

import os
import subprocess
import sys
from typing import Any

import onnx.reference
import pytest
import torch

from dfnas import models
from dfnas.errors import UserError
from dfnas.models import darts, source_code
from dfnas.training import deployment

CHAIN = "stem=4;stem_stride=1;{}widths=8,16;repeats=2,2;strides=2,2;tail=16;choices="
FAMILIES = {  # name -> architecture, channels, side
    "resnet": ("resnet8x0.25", 1, 16),
    "darts, an odd side": (darts.to_text(darts.DARTS_V1, darts.Size(2, 2, "imagenet")), 3, 50),
    "spos": ("spos:1;" + CHAIN.format("") + "0213", 1, 16),
    "proxyless": ("proxyless:1;" + CHAIN.format("first=4;") + "0625", 1, 16),
}
SOURCES = {  # which are read as source alone
    "darts": (darts.to_text(darts.DARTS_V2, darts.Size(2, 3)), 3, 16),
    "pruned": ("pruned:1;resnet8;14,16,21,9,24", 3, 16),
    "bottlenecks": ("pruned:1;resnet50;" + ",".join(["0"] * 20), 3, 32),
    "torchvision": ("torchvision:mobilenet_v2", 3, 32),
}
ALONE = """
import sys
sys.modules["dfnas"] = None
import importlib, torch
from safetensors.torch import load_file
for name in sys.argv[1:]:
    sys.path.insert(0, name)
    sys.modules.pop("architecture", None)
    network = importlib.import_module("architecture").build().eval()
    network.load_state_dict(load_file(f"{name}/student.safetensors"))
    images = torch.load(f"{name}/images.pt")
    program = torch.export.load(f"{name}/student.pt2").module()
    with torch.no_grad():
        torch.save((network(images), program(images)), f"{name}/logits.pt")
    sys.path.pop(0)
assert not any(name.startswith("dfnas.") for name in sys.modules)
"""


def lively(network):
    """Batch norms with weights and statistics that differ, so that none can be left out unseen."""
    generator = torch.Generator().manual_seed(1)
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            for value in (layer.weight, layer.running_var):
                value.data.uniform_(0.5, 1.5, generator=generator)
            for value in (layer.bias, layer.running_mean):
                value.data.normal_(0, 0.3, generator=generator)
    return network.eval()


def images(channels, side):
    return torch.randn(3, channels, side, side, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder of each family, with what its network answers in this process and in one without the package."""
    there = {}
    for name, (text, channels, side) in FAMILIES.items():
        folder = tmp_path_factory.mktemp("files")
        network = lively(models.build(text, 7, channels, 0))
        facts: dict[str, Any] = {
            "classes": 7,
            "channels": channels,
            "side": side,
            "mean": [0.5] * channels,
            "std": [0.2] * channels,
        }
        deployment.write(
            folder, "student", text, network.state_dict(), facts | {"names": [f"Käfer/{k}" for k in "1234567"]}
        )
        torch.save(images(channels, side), folder / "images.pt")
        with torch.no_grad():
            there[name] = (folder, network(images(channels, side)))
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    folders = [str(folder) for folder, _ in there.values()]
    command = [sys.executable, "-c", ALONE, *folders]
    subprocess.run(command, cwd=folders[0], env=environment, check=True)
    return there


@pytest.mark.parametrize("family", FAMILIES)
def test_without_the_package_the_files_give_the_same_logits(files, family):
    folder, expected = files[family]
    for logits in torch.load(folder / "logits.pt"):
        assert torch.allclose(logits, expected, atol=1e-5)
    session = onnx.reference.ReferenceEvaluator(str(folder / "student.onnx"))
    _, channels, side = FAMILIES[family]
    (logits,) = session.run(None, {"images": images(channels, side).numpy()})
    assert torch.allclose(torch.from_numpy(logits), expected, atol=1e-4)
    assert "dfnas" not in (folder / "architecture.py").read_text(encoding="utf-8")
    assert "Käfer/1, Käfer/2" in (folder / "README.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("family", SOURCES)
def test_every_family_has_a_source(family):
    """`write` itself compares what the source builds with the network."""
    text, channels, side = SOURCES[family]
    source = source_code.write(lively(models.build(text, 7, channels, 0)), (channels, side, side), "A network.")
    assert "dfnas" not in source
    assert max(map(len, source.splitlines())) < 160


class Doubling(torch.nn.Module):
    """Its parts look as if they could be printed, but the constant that it computes with is nowhere in its source."""

    def __init__(self):
        super().__init__()
        self.register_buffer("factor", torch.tensor(2.0), persistent=False)

    def forward(self, x):
        return x.mean((2, 3)) * self.factor


def test_a_source_that_computes_something_else_is_refused():
    with pytest.raises(UserError, match="Doubling cannot be written as source of its own"):
        source_code.write(Doubling(), (1, 4, 4), "A network.")


def test_a_network_of_torchvision_that_cannot_be_traced_is_built_by_torchvision(tmp_path):
    network = models.build("torchvision:efficientnet_b0", 7, 3)
    text = deployment._source(network, (3, 32, 32), "torchvision:efficientnet_b0", 7)
    names = {}
    exec(text, names)
    assert names["build"]().state_dict().keys() == network.state_dict().keys()
