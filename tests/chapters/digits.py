"""Digits on canvases, for searches to learn from, and a way to stop what learns from them."""

import contextlib
from collections.abc import Iterator

import pytest
import torch

from dfnas import profiles
from dfnas.data import real as real_data
from dfnas.data.sources import Source
from dfnas.search import supernets


def source(name: str = "synthetic", count: int = 200) -> Source:
    """The first digits, with soft labels; as real data has them, with their classes alone."""
    real = real_data.load(profiles.load("smoke").data).train.select(torch.arange(count))
    images = torch.nn.functional.pad(real.images, [2] * 4)
    targets = real.classes if name == "real" else torch.nn.functional.one_hot(real.classes, 10).float() * 5
    return Source(images, targets, real.classes, (0.5,), (0.25,), name)


@contextlib.contextmanager
def stopped_at(step: int | None) -> Iterator[None]:
    """Inside, a supernet's training is interrupted before a step, as by ctrl-C; None: never."""
    whole = supernets.RandomChoice.before

    def stopping(self, at, *arguments):
        if at == step:
            raise KeyboardInterrupt
        whole(self, at, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(supernets.RandomChoice, "before", stopping)
        yield
