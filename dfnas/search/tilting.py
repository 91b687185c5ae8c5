"""Random architectures of any cost; of those that cost the same, each is as likely."""

from collections.abc import Sequence

import torch
from torch import Tensor

TILT = 15.0  # at most, over the widest range of costs within a part


def draw(costs: Sequence[Tensor], generator: torch.Generator) -> list[int]:
    """An option of each part of an architecture, by the float64 costs of its options; their sum is the cost of all.

    Uniform draws cost what most architectures do, and hardly ever as little or as much as what a search finds. Here an
    option has a probability in proportion to exp(-tilt x cost), where the tilt is drawn anew for each architecture,
    uniformly: given the tilt, the probability of an architecture depends on nothing but its cost.
    """
    widest = max(float(row.max() - row.min()) for row in costs) or 1.0  # no tilt tells options of one cost apart
    tilt = TILT / widest * float(2 * torch.rand((), generator=generator, dtype=torch.float64) - 1)
    return [int(torch.multinomial((-tilt * row).softmax(0), 1, generator=generator)) for row in costs]
