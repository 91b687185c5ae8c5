"""Digits on canvases, for searches to learn from."""

import torch

from dfnas import profiles
from dfnas.data import real as real_data
from dfnas.data.sources import Source


def source(name: str = "synthetic", count: int = 200) -> Source:
    """The first digits, with soft labels; as real data has them, with their classes alone."""
    real = real_data.load(profiles.load("smoke").data).train.select(torch.arange(count))
    images = torch.nn.functional.pad(real.images, [2] * 4)
    targets = real.classes if name == "real" else torch.nn.functional.one_hot(real.classes, 10).float() * 5
    return Source(images, targets, real.classes, (0.5,), (0.25,), name)
