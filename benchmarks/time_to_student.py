"""From a teacher to a student: laptop's set and student, which reaches 65 %, as research code has it and as ours.

Both are estimated from steps that are timed here, in as many of them as laptop's recipe takes. The plain loop has no
resolution stages, so it makes the same number of iterations and of steps at full size, eager and in fp32; this favours
it, as it needs more of them for the same images. Compiling and reading are left out of both.
"""

import dataclasses
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks import measure
from benchmarks.synthesis_step import RECIPE, SETTINGS, ours, plain, teacher
from dfnas import models
from dfnas.data import sources
from dfnas.data.sources import Source
from dfnas.profiles import RunSettings
from dfnas.runtime import memory
from dfnas.synthesis import sets
from dfnas.training import loop, losses, students

ITERATIONS, STEPS = 3, 4
RUN = RunSettings("cpu", compile=True)
STUDENT = dataclasses.replace(SETTINGS, run=RUN).student


def rows() -> list[dict[str, Any]]:
    """One row: seconds for a whole set and one student."""
    memory.keep()
    synthesis = SETTINGS.synthesis
    batches = sets.batch_count(synthesis) * synthesis.rounds
    shares = dict(STUDENT.training.resolutions)
    shares[SETTINGS.data.region] = 1 - sum(shares.values())
    # (work, iterations or steps in one call, how many of them there are in all)
    one = [(plain(synthesis.batch), ITERATIONS, batches * sum(count for _, count, _ in synthesis.stages))]
    one.append((_plain_student(), STEPS, STUDENT.training.steps))
    two = [
        (ours(synthesis.batch, RUN, recipe=_stage(scale)), ITERATIONS, batches * count)
        for scale, count, _ in synthesis.stages
    ]
    two += [(_student(side), STEPS, share * STUDENT.training.steps) for side, share in shares.items()]
    for work, *_ in one + two:
        work()  # pays for memory and for compiling
    pairs = [(_estimate(one), _estimate(two)) for _ in range(measure.PAIRS)]
    return [measure.from_pairs("time_to_student", pairs, "seconds")]


def _estimate(parts: list[tuple[measure.Work, int, float]]) -> float:
    return sum(measure.seconds(work) / each * count for work, each, count in parts)


def _stage(scale: int) -> Any:
    return dataclasses.replace(RECIPE, stages=((scale, ITERATIONS, "grow"),))


def _images() -> Source:
    random, count = torch.Generator().manual_seed(0), 1000
    images = torch.randint(0, 256, (count, 3, 40, 40), generator=random, dtype=torch.uint8)
    return Source(images, torch.randn(count, 10, generator=random), torch.arange(count) % 10, (0.5,) * 3, (0.25,) * 3)


def _student(side: int) -> measure.Work:
    """Some steps of laptop's student at a side, labelled by the teacher as they go."""
    settings, recipe = dataclasses.replace(SETTINGS, run=RUN), dataclasses.replace(STUDENT.training, resolutions=())
    sample = students.online(sources.sampler(_images(), recipe, settings, 0), teacher(), settings, STUDENT.mixing)
    network, loss = models.build(STUDENT.network, 10, 3, 0), losses.loss_for(_images(), STUDENT.temperature, 0.0)
    return lambda: loop.train(network, sample, loss, recipe, RUN, steps=STEPS, side=side)


def _plain_student() -> measure.Work:
    """The same as research code has it: at full size, the teacher asked about each crop, a read a step."""
    network, judge, source = models.build(STUDENT.network, 10, 3, 0), teacher().network.eval(), _images()
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    batch, temperature = STUDENT.training.batch, STUDENT.temperature

    def crops(step: int) -> Tensor:
        first, top, left = step * batch, step % 9, (3 * step) % 9
        return (source.images[first : first + batch, :, top : top + 32, left : left + 32].float() / 255 - 0.5) / 0.25

    def work() -> None:
        for step in range(STEPS):
            inputs = crops(step)
            with torch.no_grad():
                wanted = F.softmax(judge(inputs) / temperature, 1)
            optimiser.zero_grad()
            loss = F.kl_div(F.log_softmax(network(inputs) / temperature, 1), wanted, reduction="batchmean")
            loss.backward()
            optimiser.step()
            loss.item()

    return work


if __name__ == "__main__":
    print(*rows(), sep="\n")
