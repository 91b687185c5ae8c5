"""Images that say which ones they are, and a record of which of them entered networks, and for what.

An image has one colour: red and green hold its number, blue its split. Crops, flips, borders, sizes and labels leave
that alone, so a leak shows whichever way it took. The normalisation of the real data and of the teacher is none.
"""

import contextlib
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from dfnas import models, profiles
from dfnas.chapters.proxylessnas import binarisation
from dfnas.data import real, splits
from dfnas.data.origins import Origin
from dfnas.data.sources import Source
from dfnas.data.teachers import Teacher
from dfnas.profiles import Settings
from dfnas.profiles.resolve import variant
from dfnas.search import architecture_update
from dfnas.training import evaluation, loop

KINDS = ("train", "validation", "test", "synthetic")
MEAN, STD = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
PURPOSES = (
    (loop, "train", "training"),
    (architecture_update.ArchitectureUpdate, "before", "architecture"),
    (binarisation.Search, "before", "architecture"),
    (binarisation, "right", "judging"),
    (evaluation, "predict", "judging"),
    (evaluation, "recalibrate", "recalibration"),
)
Identity = tuple[str, int]
Pass = tuple[str, frozenset[Identity]]  # a forward pass: what it was for, and what the network was shown


def settings(*overrides: str) -> Settings:
    """The smoke profile for images of three channels, nothing rounded and nothing blanked out."""
    return variant(
        profiles.load("smoke", 0, ["run.precision=fp32", "run.device=cpu", *overrides]), data={"channels": 3}
    )


def teacher() -> Teacher:
    """A network that knows nothing."""
    network = models.build("resnet5", 10, 3, seed=0).eval().requires_grad_(False)
    return Teacher(network, MEAN, STD, tuple("0123456789"), "made up", {})


def source(kind: str, count: int, side: int = 20) -> Source:
    """`count` images of a kind, the classes in turn; soft labels on synthetic ones."""
    numbers = torch.arange(count)
    colours = torch.stack([numbers % 256, numbers // 256, torch.full_like(numbers, 60 * KINDS.index(kind))], 1)
    images, classes = colours.byte()[:, :, None, None].expand(-1, -1, side, side).contiguous(), numbers % 10
    targets = nn.functional.one_hot(classes, 10).float() * 5 if kind == "synthetic" else classes
    return Source(images, targets, classes, MEAN, STD, "synthetic" if kind == "synthetic" else "real")


def of(images: Tensor) -> frozenset[Identity]:
    """The identities of images, uint8 or as a network is shown them."""
    colours = images.flatten(2).median(2).values
    colours = colours.long() if images.dtype == torch.uint8 else (colours * 255).round().long()
    kinds, wrong = (colours[:, 2] / 60).round().long(), (colours[:, 2] % 60 != 0) | (colours[:, 2] > 180)
    assert not wrong.any(), "these images have no identity"
    numbers = (colours[:, 0] + 256 * colours[:, 1]).tolist()
    return frozenset((KINDS[kind], number) for kind, number in zip(kinds.tolist(), numbers, strict=True))


def instead_of_data(patch: pytest.MonkeyPatch, count: int = 100) -> None:
    """Real data are the images of the three splits from now on, and every other origin holds synthetic ones."""
    parts = [source(kind, count, 16) for kind in KINDS[:3]]

    def load(data: profiles.DataSettings) -> splits.Dataset:
        splits.require_open()
        return splits.Dataset(*parts, tuple("0123456789"))

    patch.setattr(real, "load", load)
    patch.setattr(real, "digest", lambda data: "made up")
    whole = Origin.load
    patch.setattr(
        Origin,
        "load",
        lambda self, *rest: whole(self, *rest) if self.name in ("real", "real_hard") else source("synthetic", count),
    )


@contextlib.contextmanager
def watch(teacher: Teacher | None = None) -> Iterator[list[Pass]]:
    """Inside, every forward pass of a network is noted, in order; those of the teacher are not."""
    passes: list[Pass] = []
    purposes, depth = [""], [0]

    def entered(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        depth[0] += 1
        asked = teacher is not None and module is teacher.network
        if depth[0] == 1 and not asked and inputs[0].device.type != "meta":  # there, a network is only measured
            passes.append((purposes[-1], of(inputs[0].detach())))

    def left(module: nn.Module, inputs: tuple[Tensor, ...], outputs: Tensor) -> None:
        depth[0] -= 1

    def during(whole, purpose):
        def call(*arguments, **options):
            purposes.append(purpose)
            try:
                return whole(*arguments, **options)
            finally:
                purposes.pop()

        return call

    with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as stack:
        for holder, name, purpose in PURPOSES:
            patch.setattr(holder, name, during(getattr(holder, name), purpose))
        stack.callback(nn.modules.module.register_module_forward_pre_hook(entered).remove)
        stack.callback(nn.modules.module.register_module_forward_hook(left, always_call=True).remove)
        yield passes


def shown(passes: list[Pass], purpose: str) -> set[Identity]:
    """All images that networks were shown for a purpose."""
    return {identity for one, images in passes for identity in images if one == purpose}


def kinds(identities: set[Identity]) -> set[str]:
    """The kinds among some images."""
    return {kind for kind, _ in identities}
