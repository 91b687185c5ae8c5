"""The supernet of ProxylessNAS: every operation of every block, one path at a time, or two for gradients."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dfnas.models import mbconv
from dfnas.models.mbconv import Space


class Supernet(nn.Module):
    """All architectures of the space in one network: every operation of every block has its own weights.

    A forward pass runs the path that `choose` set; only that path's weights get gradients. After `open_gates` it runs
    a second operation of each block beside it, at weight zero (ProxylessNAS paper, section 3.2.1).
    The initial weights are a function of the seed alone.
    """

    def __init__(self, space: Space, classes: int, image_channels: int = 3, seed: int = 0) -> None:
        super().__init__()
        self.space = space
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.head = mbconv.head(space, image_channels)
            rows = ([mbconv.body(k, shape) for k in range(len(mbconv.SIZES))] for shape in space.blocks)
            self.blocks = nn.ModuleList(nn.ModuleList(row) for row in rows)
            self.tail = mbconv.tail(space, classes)
            mbconv.initialise(self)
        self.choices: mbconv.Choices = ()
        self.others: mbconv.Choices = ()
        self.gates: list[Tensor] = []

    def choose(self, choices: Sequence[int]) -> None:
        """Set the path of the following forward passes; UserError where the space does not have it."""
        self.choices, self.others, self.gates = mbconv.check(self.space, choices), (), []

    def open_gates(self, active: Sequence[int], inactive: Sequence[int]) -> list[Tensor]:
        """Set a path and a second operation of each block; the gates [2] of each block, (1, 0), to be derived by.

        A block whose active operation is zero is an identity, and no gradient reaches its gates (as in the authors'
        code). `choose` closes the gates.
        """
        self.choose(active)
        self.others = mbconv.check(self.space, inactive)
        where = next(self.parameters()).device
        self.gates = [torch.tensor([1.0, 0.0], device=where, requires_grad=True) for _ in self.choices]
        return self.gates

    def forward(self, x: Tensor) -> Tensor:
        """Logits [N, classes] of normalised images [N, image_channels, S, S], by the chosen path."""
        if not self.choices:
            raise RuntimeError("choose a path before the supernet's first forward pass")
        x = self.head(x)
        for number, operation in enumerate(self.choices):
            if operation != mbconv.ZERO:
                x = self._block(number, operation, x)
        return self.tail(x)

    def _block(self, number: int, operation: int, x: Tensor) -> Tensor:
        block, shape = self.blocks[number], self.space.blocks[number]
        y = block[operation](x)  # type: ignore[index]
        if self.gates:
            gate, other = self.gates[number], self.others[number]
            y = gate[0] * y
            if other != mbconv.ZERO:
                with torch.no_grad():  # its own weights learn nothing here
                    compared = block[other](x)  # type: ignore[index]
                y = y + gate[1] * compared
        return x + y if shape.shortcut else y
