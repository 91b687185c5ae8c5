"""Networks that hold many others, whatever these differ in: trained a random one a step, then judged one by one.

A supernet's `choose` sets which of its networks the next forward passes run.
"""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import nn

from dfnas.data import sources
from dfnas.data.images import to_input
from dfnas.data.sources import Source
from dfnas.data.teachers import Teacher
from dfnas.profiles import RunSettings, Settings, TrainingSettings
from dfnas.runtime import devices, seeds
from dfnas.training import evaluation, loop, losses, students


def train(
    folder: Path,
    supernet: nn.Module,
    source: Source,
    companion: loop.Companion,
    recipe: TrainingSettings,
    settings: Settings,
    *,
    side: int,
    temperature: float,
    name: str = "supernet",
    online: Teacher | None = None,
    evaluate: Callable[[nn.Module], float] | None = None,
    description: str,
) -> None:
    """Train the weights on a source; writes model.safetensors and history.json.

    Parameters
    ----------
    companion : sets what each step runs, and perhaps moves architecture parameters.
    name : of the sampler: two of one seed draw apart where names differ.
    online : the teacher that labels each augmented crop anew, where the source has soft labels; None: stored ones.
    """
    sample = sources.sampler(source, recipe, settings, settings.seed, name)
    if online is not None and source.soft:
        sample = students.online(sample, online, settings)
    trained, history = loop.train(
        supernet,
        sample,
        losses.loss_for(source, temperature, recipe.label_smoothing),
        recipe,
        # Every step runs another network: to compile them would be to compile the whole space.
        dataclasses.replace(settings.run, compile=False),
        steps=loop.steps_of(recipe, len(source)),
        side=side,
        folder=folder,
        evaluate=evaluate,
        companion=companion,
        seed=settings.seed,
        description=description,
    )
    loop.keep(folder, trained, history)


class RandomChoice(loop.Stateless):
    """The companion that draws each step's network, as a function of the seed and the step alone."""

    def __init__(
        self, supernet: nn.Module, draw: Callable[[torch.Generator], Sequence[int]], seed: int, name: str = "path"
    ) -> None:
        """`draw` gives a choice from a generator; `name` is that of the random numbers."""
        self.supernet, self.draw, self.seed, self.name = supernet, draw, seed, name

    def before(self, step: int, steps: int, rate: float, optimiser: torch.optim.Optimizer) -> None:
        self.supernet.choose(self.draw(seeds.generator(self.seed, self.name, step)))  # type: ignore[operator]


@dataclasses.dataclass(frozen=True)
class Judge:
    """Judges the networks of a supernet, each with batch-norm statistics of its own (SPOS paper, section 3.4)."""

    supernet: nn.Module
    recalibration: Source  # images that statistics are taken from, in batches of `batch`
    held_out: Source
    batch: int
    run: RunSettings

    def __call__(self, choice: Sequence[int]) -> tuple[float, float]:
        """Accuracy on the held-out images: against their classes, and against the largest entry of their labels."""
        return evaluation.accuracy_on(self.recalibrate(choice), self.held_out, self.run)

    def recalibrate(self, choice: Sequence[int]) -> nn.Module:
        """The supernet, on a choice and with its statistics."""
        source = self.recalibration
        self.supernet.choose(choice)  # type: ignore[operator]
        inputs = (to_input(part, source.mean, source.std) for part in source.images.split(self.batch) if len(part) > 1)
        evaluation.recalibrate(devices.place(self.supernet, devices.device(self.run)), inputs, self.run)
        return self.supernet


def judge(
    supernet: nn.Module, parts: tuple[Source, Source], batches: int, batch: int, side: int, settings: Settings
) -> Judge:
    """A judge from what a supernet learned from, `batches` batches of which give statistics, and what is held out."""
    learnt, held_out = parts
    rows = torch.arange(min(batches * batch, len(learnt)))
    recalibration = sources.judged(learnt.select(rows), settings, side)
    return Judge(supernet, recalibration, sources.judged(held_out, settings, side), batch, settings.run)
