"""Networks that hold many others, whatever these differ in: trained a random one a step, then judged one by one.

A supernet's `choose` sets which of its networks the next forward passes run.
"""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from dfnas.data import sources
from dfnas.data.images import to_input
from dfnas.data.sources import Source
from dfnas.data.teachers import Teacher
from dfnas.profiles import Settings, TrainingSettings
from dfnas.runtime import devices, stages
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
    if online is not None and source.targets.dim() == 2:
        sample = students.online(sample, online, settings.data.region, settings)
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
    weights = {key: value.contiguous() for key, value in trained.state_dict().items()}
    save_file(weights, folder / "model.safetensors")
    stages.write_json(folder / "history.json", vars(history))
    (folder / "checkpoint.pt").unlink(missing_ok=True)


class Judge:
    """Judges the networks of a supernet, each with batch-norm statistics of its own (SPOS paper, section 3.4)."""

    def __init__(
        self, learnt: Source, held_out: Source, recalibration: int, batch: int, side: int, settings: Settings
    ) -> None:
        """`recalibration` batches of the images that the supernet learnt from give the statistics."""
        self.settings, self.batch = settings, batch
        count = min(recalibration * batch, len(learnt))
        self.recalibration = sources.seen(learnt.select(torch.arange(count)), settings, side)
        self.held_out = sources.seen(held_out, settings, side)

    def __call__(self, supernet: nn.Module, choice: Sequence[int]) -> tuple[float, float]:
        """Accuracy on the held-out images: against their classes, and against the largest entry of their labels."""
        return evaluation.accuracy_on(self.recalibrate(supernet, choice), self.held_out, self.settings.run)

    def recalibrate(self, supernet: nn.Module, choice: Sequence[int]) -> nn.Module:
        """The supernet, on a choice and with its statistics."""
        shown, run = self.recalibration, self.settings.run
        supernet.choose(choice)  # type: ignore[operator]
        inputs = (to_input(part, shown.mean, shown.std) for part in shown.images.split(self.batch))
        evaluation.recalibrate(devices.place(supernet, devices.device(run)), inputs, run)
        return supernet
