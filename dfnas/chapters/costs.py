"""The rows of a plan, from shapes alone: nothing is run."""

import functools
from typing import Any

from torch import nn

from dfnas import models
from dfnas.data import folder, presence, teachers
from dfnas.models import cost
from dfnas.models.cost import Cost
from dfnas.profiles import ScratchSettings, Settings, StudentSettings, SynthesisSettings, TrainingSettings
from dfnas.search.scratch import searches
from dfnas.synthesis import sets
from dfnas.synthesis.held_out import smaller
from dfnas.training import loop

# Multiply-adds a second that convolutions reach in practice: two cores here in fp32 (measured), and the rate that the
# plan assumes of a data-centre GPU (100 TFLOP/s effective).
CPU_RATE, GPU_RATE = 4.5e10, 5e13
# Bytes a second, for networks of depthwise convolutions, which wait for memory: what two cores here copy, less what
# batches get in each other's way; and a data-centre GPU's data sheet, likewise. An activation passes by four times a
# stored copy.
CPU_BANDWIDTH, GPU_BANDWIDTH, TRAFFIC = 1e10, 1e12, 4


def from_scratch(settings: Settings, scratch: ScratchSettings, text: str) -> dict[str, Any]:
    """The trainings of what the searches found, and of the random architectures beside it."""
    count = len(searches(settings, scratch)) * scratch.seeds + scratch.random
    learn = presence.has_train(settings.data)
    images = real_images(settings) if learn else settings.synthesis.images
    row = train(f"from scratch x {count}", settings, text, scratch.training, images, scratch.side)
    return times(row, count)


def synthetic_set(name: str, settings: Settings, chosen: SynthesisSettings) -> dict[str, Any]:
    """Forward and input gradient: two passes over the teacher's MACs, at the side of each resolution stage."""
    data, made = settings.data, sets.batch_count(chosen) * chosen.batch * chosen.rounds
    teacher = teacher_cost(settings)
    share = sum(count / scale**2 for scale, count, _ in chosen.stages)
    kept = made if chosen.keep_rounds == "all" else made // chosen.rounds
    return cost_row(
        name,
        settings,
        iterations=made // chosen.batch * sum(count for _, count, _ in chosen.stages),
        images=made,
        pieces=sets.batch_count(chosen),
        share=share / sum(count for _, count, _ in chosen.stages),
        macs=2 * teacher.macs * share * made,
        bytes_disk=kept * (data.channels * data.canvas**2 + 2 * data.classes),
        memory_mb=chosen.batch * teacher.activations * 4 * 3 / 1e6,
    )


def held_out(settings: Settings) -> dict[str, Any]:
    """The small set that judges where there are no real images to learn from."""
    return synthetic_set("held-out set", settings, smaller(settings))


def student(name: str, settings: Settings, student: StudentSettings, images: int) -> dict[str, Any]:
    """The training of a student, with the teacher's passes where its labels are made online."""
    row = train(name, settings, student.network, student.training, images, student.side)
    if student.labels == "online":
        row = scaled(row, 1 + teacher_cost(settings).macs * row["images"] / row["macs"])
    return row


@functools.lru_cache(maxsize=1)  # each row of a plan asks for it
def teacher_cost(settings: Settings) -> Cost:
    """Of the network that is left of the data: the user's own, where one is given, else the one of the profile."""
    if settings.teacher.path or settings.teacher.shipped:
        data = settings.data
        return cost.of(teachers.load(settings, named=False).network, (data.channels, data.region, data.region))
    return cost_of(settings.teacher.network, settings)


def verifier(settings: Settings) -> dict[str, Any]:
    """The training of the network that judges synthetic images."""
    evaluation = settings.evaluation
    return train("verifier", settings, evaluation.verifier_network, evaluation.verifier, real_images(settings))


def train(
    name: str, settings: Settings, chosen: str | nn.Module, recipe: TrainingSettings, count: int, side: int = 0
) -> dict[str, Any]:
    """Forward, input and weight gradients: three passes over the network's MACs, at the side of each step."""
    data = settings.data
    side = side or data.region
    each = cost_of(chosen, settings, side) if isinstance(chosen, str) else cost.of(chosen, (data.channels, side, side))
    steps = loop.steps_of(recipe, count)
    rest = 1 - sum(share for _, share in recipe.resolutions)
    share = rest + sum(part * (size / side) ** 2 for size, part in recipe.resolutions)
    return cost_row(
        name,
        settings,
        iterations=steps,
        images=steps * recipe.batch,
        pieces=recipe.batch,
        share=share,
        macs=3 * each.macs * share * steps * recipe.batch,
        bytes_disk=4 * each.parameters,
        memory_mb=(recipe.batch * each.activations * 4 * 3 + 16 * each.parameters) / 1e6,
    )


def cost_of(text: str, settings: Settings, side: int = 0) -> Cost:
    """What a network that is given as text costs, on images of a side (0: the region's)."""
    return _cost_of(text, settings.data.classes, settings.data.channels, side or settings.data.region)


@functools.lru_cache(maxsize=256)  # the same networks come up in many rows
def _cost_of(text: str, classes: int, channels: int, side: int) -> Cost:
    with cost.without_values():
        network = models.build(text, classes, channels)
    return cost.of(network, (channels, side, side))


def scaled(row: dict[str, Any], factor: float) -> dict[str, Any]:
    """A row whose iterations take `factor` times as many passes."""
    return {**row, "macs": row["macs"] * factor, "seconds_estimate": row["seconds_estimate"] * factor}


def real_images(settings: Settings) -> int:
    """Images of the train split, without what is held out of it."""
    data = settings.data
    if data.name == "digits":
        return 1150
    if data.name == "cifar10":
        return 50_000 - data.validation * data.classes
    if data.name == "folder":
        return sum(map(len, folder.own(data)[1].get("train", {}).values()))
    return data.images_per_class * data.classes or 1_281_167 - data.validation * data.classes


def cost_row(name: str, settings: Settings, share: float = 1.0, **facts: Any) -> dict[str, Any]:
    """A row; `share` is the mean size of what the iterations move, where some see smaller images.

    Its `pieces` say into how many parts of one size several devices can divide the work: slot batches, images of a
    training batch, candidates of a generation.
    """
    gpu = settings.run.device == "cuda" or (settings.base or settings.profile).startswith("paper")
    computing = facts["macs"] / (GPU_RATE if gpu else CPU_RATE)
    moving = (
        share * facts["iterations"] * facts["memory_mb"] * 1e6 * TRAFFIC / (GPU_BANDWIDTH if gpu else CPU_BANDWIDTH)
    )
    return {"stage": name, **facts, "seconds_estimate": max(computing, moving)}


def times(row: dict[str, Any], count: int) -> dict[str, Any]:
    """A row for `count` of the same."""
    several = ("iterations", "images", "macs", "bytes_disk", "seconds_estimate")
    return {key: value * count if key in several else value for key, value in row.items()}


def on_devices(row: dict[str, Any], count: int) -> dict[str, Any]:
    """A row with `seconds_shared`, the least that it takes on `count` devices: none waits for another.

    The device with the most pieces is the last to be done; more devices than pieces are of no use.
    """
    largest = -(-row["pieces"] // count)
    return {**row, "seconds_shared": row["seconds_estimate"] * largest / row["pieces"]}
