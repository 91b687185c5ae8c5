"""A training step in fp32 against one in bf16, where the processor multiplies in it: which pays, by network."""

import dataclasses
from typing import Any

import torch
import torch.nn.functional as F

from benchmarks import measure
from dfnas import models, profiles
from dfnas.chapters import spos
from dfnas.models import shufflenet
from dfnas.profiles import RunSettings
from dfnas.runtime import devices

BATCH, SIDE = 128, 16
RUN = RunSettings("cpu")


def rows() -> list[dict[str, Any]]:
    """For ResNet-20, without depthwise convolutions, and a path of SPOS, with them: fp32 over bf16, in seconds.

    None where bf16 would be emulated.
    """
    if not devices.bf16(RUN):
        return []
    space = spos.space_of(profiles.load("laptop", 0, ["run.device=cpu"]))
    networks = {"resnet20": "resnet20", "spos_path": shufflenet.to_text((3,) * len(space.blocks), space)}
    return [
        measure.row(f"precision_{name}", *(step(text, precision) for precision in ("fp32", "bf16")))
        for name, text in networks.items()
    ]


def step(text: str, precision: str) -> measure.Work:
    """Forward and backward."""
    run = dataclasses.replace(RUN, precision=precision)
    network = devices.place(models.build(text, 10, 3, 0), devices.device(run))
    images = torch.randn(BATCH, 3, SIDE, SIDE).contiguous(memory_format=torch.channels_last)
    labels = torch.arange(BATCH) % 10

    def work() -> None:
        network.zero_grad()
        with devices.autocast(run, network):
            loss = F.cross_entropy(network(images), labels)
        loss.backward()

    return work


if __name__ == "__main__":
    print(*rows(), sep="\n")
