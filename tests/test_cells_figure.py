"""The picture of a cell shows every edge: where it starts, what it does, where it ends."""

import pytest
import torch

from dfnas import figures
from dfnas.figures import cells
from dfnas.models import darts

GENOTYPES = [darts.DARTS_V1, darts.DARTS_V2, darts.random_genotype(torch.Generator().manual_seed(0))]


@pytest.mark.parametrize("genotype", GENOTYPES)
def test_every_edge_is_drawn_with_its_operation(genotype):
    figure = figures.genotype(genotype)
    for axes, cell in zip(figure.axes, (genotype.normal, genotype.reduce), strict=True):
        arrows = [text for text in axes.texts if getattr(text, "arrow_patch", None) is not None]
        drawn = [(arrow.xyann[0], arrow.xy[0]) for arrow in arrows]
        assert drawn == [(source, 2 + row // 2) for row, (_, source) in enumerate(cell)]
        said = [text.get_text() for text in axes.texts if text.get_text() in {name for name, _ in cells.LOOKS.values()}]
        assert said == [cells.LOOKS[operation][0] for operation, _ in cell]


def test_operations_are_told_apart_by_text_and_by_colour():
    assert set(cells.LOOKS) == set(darts.PRIMITIVES[1:])
    texts, colours = zip(*cells.LOOKS.values(), strict=True)
    assert len(set(texts)) == len(set(colours)) == 7
