"""The picture of a cell shows every edge: where it starts, what it does, where it ends."""

import io
import itertools

import matplotlib
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg

from dfnas import figures
from dfnas.figures import cells
from dfnas.models import darts

GENERATOR = torch.Generator().manual_seed(0)
GENOTYPES = [darts.DARTS_V1, darts.DARTS_V2, *(darts.random_genotype(GENERATOR) for _ in range(20))]


@pytest.mark.parametrize("genotype", GENOTYPES)
def test_every_edge_is_drawn_with_its_operation(genotype):
    figure = figures.genotype(genotype)
    for axes, cell in zip(figure.axes, (genotype.normal, genotype.reduce), strict=True):
        arrows = [text for text in axes.texts if getattr(text, "arrow_patch", None) is not None]
        drawn = [(arrow.xyann[0], arrow.xy[0]) for arrow in arrows]
        assert drawn == [(source, 2 + row // 2) for row, (_, source) in enumerate(cell)]
        said = [text.get_text() for text in axes.texts if text.get_text() in {name for name, _ in cells.LOOKS.values()}]
        assert said == [cells.LOOKS[operation][0] for operation, _ in cell]


@pytest.mark.parametrize("genotype", GENOTYPES)
def test_no_two_labels_overlap(genotype):
    figure = figures.genotype(genotype, "found on synthetic")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    for axes in figure.axes:
        boxes = [text.get_bbox_patch() or text for text in axes.texts if text.get_text()]
        extents = [box.get_window_extent(canvas.get_renderer()) for box in boxes]
        assert len(extents) == len(cells.NODES) + 8 + 1  # and the output's name
        assert not any(one.overlaps(other) for one, other in itertools.combinations(extents, 2))


def test_the_same_genotype_is_drawn_the_same_and_another_is_not():
    def svg(genotype):
        buffer = io.StringIO()
        with matplotlib.rc_context({"svg.hashsalt": "dfnas"}):
            figures.genotype(genotype).savefig(buffer, format="svg", metadata={"Date": None})
        return buffer.getvalue()

    assert svg(darts.DARTS_V1) == svg(darts.DARTS_V1) != svg(darts.DARTS_V2)


def test_operations_are_told_apart_by_text_and_by_colour():
    assert set(cells.LOOKS) == set(darts.PRIMITIVES[1:])
    texts, colours = zip(*cells.LOOKS.values(), strict=True)
    assert len(set(texts)) == len(set(colours)) == 7
