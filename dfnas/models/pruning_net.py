"""PruningNet: a network that makes the weights of pruned networks (MetaPruning, Liu et al., 2019, section 3.1)."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dfnas.models import chain, pruning
from dfnas.models.chain import Layer
from dfnas.models.pruning import FULL, RATIOS, Block, Space

HIDDEN = 32  # hidden units of the networks that make weights


class Generator(nn.Module):
    """Makes a convolution's weight from ratios: two linear layers, the second with a row for each value of it."""

    def __init__(self, inputs: int, shape: tuple[int, int, int, int]) -> None:
        super().__init__()
        self.shape = shape  # of the full weight: out, in, height, width
        self.first = nn.Linear(inputs, HIDDEN)
        self.second = nn.Linear(HIDDEN, math.prod(shape))

    def forward(self, ratios: Tensor, channels_in: int, channels_out: int) -> Tensor:
        """The weight [channels_out, channels_in, height, width] for ratios [inputs].

        Rows are sliced before the product, so that what is cropped away is never computed: a whole weight, cropped, has
        the same values.
        """
        rows = self.second.weight.view(*self.shape, HIDDEN)[:channels_out, :channels_in]
        bias = self.second.bias.view(self.shape)[:channels_out, :channels_in]
        return (rows.reshape(-1, HIDDEN) @ F.relu(self.first(ratios))).view(bias.shape) + bias


class GeneratedConvolution(nn.Module):
    """A convolution whose weight is generated, and a batch norm without weights for each ratio of its output."""

    def __init__(self, full: Layer, inputs: int) -> None:
        super().__init__()
        self.generator = Generator(inputs, (full.channels_out, full.channels_in, full.kernel, full.kernel))
        norms = (nn.BatchNorm2d(pruning.channels(full.channels_out, gene), affine=False) for gene in range(FULL + 1))
        self.norms = nn.ModuleList(norms)

    def forward(self, x: Tensor, ratios: Tensor, layer: Layer, gene: int) -> Tensor:
        weight = self.generator(ratios, layer.channels_in, layer.channels_out)
        x, stride = (chain.every(x, layer.stride), 1) if layer.kernel == 1 else (x, layer.stride)
        return self.norms[gene](F.conv2d(x, weight, None, stride, layer.kernel // 2))


class GeneratedResidual(nn.Module):
    """A residual block whose weights are made from the ratios of its inside, its input and its output."""

    def __init__(self, full: Block) -> None:
        super().__init__()
        self.main = nn.ModuleList(GeneratedConvolution(layer, len(full.genes)) for layer in full.main)
        self.shortcut = None if full.shortcut is None else GeneratedConvolution(full.shortcut, len(full.genes))

    def forward(self, x: Tensor, block: Block) -> Tensor:
        ratios, y = _ratios(block.genes, x), x
        inside, _, out = block.genes
        for convolution, layer in zip(self.main[:-1], block.main):
            y = F.relu(convolution(y, ratios, layer, inside))
        y = self.main[-1](y, ratios, block.main[-1], out)
        if self.shortcut is not None:
            x = self.shortcut(x, ratios, block.shortcut, out)
        return F.relu(y + x)


def _ratios(genes: Sequence[int], x: Tensor) -> Tensor:
    return torch.tensor([RATIOS[gene] for gene in genes], device=x.device)


class PruningNet(nn.Module):
    """Weights for every encoding of a space, made from the encoding itself (MetaPruning, section 3.1).

    A forward pass is that of the encoding that `choose` set. Running statistics of batch norm belong to a ratio, not to
    an encoding: recompute them before an encoding is evaluated. Initial weights are a function of the seed alone.
    """

    def __init__(self, space: Space, classes: int, image_channels: int = 3, seed: int | None = None) -> None:
        super().__init__()
        self.space, self.encoding = space, (FULL,) * space.genes
        with torch.random.fork_rng(devices=[], enabled=seed is not None):
            if seed is not None:
                torch.manual_seed(seed)
            stem, blocks = pruning.layers(space, self.encoding)
            self.stem = GeneratedConvolution(stem._replace(channels_in=image_channels), 1)
            self.blocks = nn.ModuleList(map(GeneratedResidual, blocks))
            self.linear = nn.Linear(space.widths[-1], classes)

    def choose(self, encoding: Sequence[int]) -> None:
        """Set the encoding of the next forward passes; UserError where the space does not have it."""
        self.encoding = pruning.check(self.space, encoding)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [N, classes] of normalised images [N, image_channels, S, S], by the chosen encoding."""
        stem, blocks = pruning.layers(self.space, self.encoding)
        gene = blocks[0].genes[1]
        x = F.relu(self.stem(x, _ratios([gene], x), stem._replace(channels_in=x.shape[1]), gene))
        x = F.max_pool2d(x, 3, 2, 1) if self.space.pool else x
        for residual, block in zip(self.blocks, blocks, strict=True):
            x = residual(x, block)
        return self.linear(x.mean((2, 3)))

    def weights(self) -> list[Tensor]:
        """The weights of the chosen encoding's convolutions: stem, then each block's main branch and projection."""
        stem, blocks = pruning.layers(self.space, self.encoding)
        ratios = _ratios([blocks[0].genes[1]], self.linear.weight)
        made = [self.stem.generator(ratios, self.stem.generator.shape[1], stem.channels_out)]
        for residual, block in zip(self.blocks, blocks, strict=True):
            pairs = [*zip(residual.main, block.main, strict=True)]  # type: ignore[arg-type]
            pairs += [] if block.shortcut is None else [(residual.shortcut, block.shortcut)]
            ratios = _ratios(block.genes, self.linear.weight)
            made += [part.generator(ratios, layer.channels_in, layer.channels_out) for part, layer in pairs]
        return made
