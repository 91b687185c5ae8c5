"""Model inversion: the objective, the regional update, and one batch of images out of a frozen teacher.

An image batch lives on a canvas of side S in the teacher's normalised space. Each iteration a region of side s is cut
out of it, the teacher judges the region, and Adam moves the canvas (appendix B.1).
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dfnas.data.teachers import Teacher
from dfnas.kernels import image_update
from dfnas.kernels.soft_cross_entropy import soft_cross_entropy
from dfnas.kernels.total_variation import total_variation
from dfnas.profiles import DataSettings, RunSettings, SynthesisSettings
from dfnas.runtime import devices, seeds
from dfnas.synthesis import moments
from dfnas.synthesis.moments import BatchNormDistance
from dfnas.synthesis.spectra import SpectrumDistance

TERMS = ("cross_entropy", "total_variation_l2", "total_variation_l1", "image_l2", "batch_norm")


def image_norm(images: Tensor) -> Tensor:
    """The mean over images of the L2 norm of each, flattened (equation `eq-l2`)."""
    return torch.linalg.vector_norm(images.flatten(1), dim=1).mean()


def label_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy with integer classes [N] (round 0) or with softmax(carried logits [N, K]) (equation `eq-ce`)."""
    return F.cross_entropy(logits, targets) if targets.dim() == 1 else soft_cross_entropy(logits, targets)


@dataclass(frozen=True)
class Inverter:
    """A teacher made ready for inversion: its compiled objective, and what bounds a valid image."""

    teacher: Teacher
    settings: SynthesisSettings
    data: DataSettings
    run: RunSettings
    objective: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
    low: Tensor
    high: Tensor


class Inversion:
    """A context: `with Inversion(teacher, ...) as inverter`. The teacher is frozen, and measures while it lasts."""

    def __init__(self, teacher: Teacher, settings: SynthesisSettings, data: DataSettings, run: RunSettings) -> None:
        self.distance = moments.distance_of(teacher.network, settings.first_layer_multiplier)
        where = devices.device(run)
        devices.place(teacher.network, where).eval().requires_grad_(False)
        low, high = (bounds.to(where) for bounds in clip_bounds(teacher.mean, teacher.std))
        objective = devices.compiled(_objective(teacher.network, self.distance, settings), run)
        self.inverter = Inverter(teacher, settings, data, run, objective, low, high)

    def __enter__(self) -> Inverter:
        self.distance.__enter__()
        return self.inverter

    def __exit__(self, *exception: object) -> None:
        self.distance.__exit__()


def _objective(
    network: nn.Module, distance: BatchNormDistance | SpectrumDistance, settings: SynthesisSettings
) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """The objective of one region batch: (weighted sum, unweighted TERMS) (equation `eq-objective`)."""
    # A tensor, not numbers: variants of the objective then share one compiled program.
    weights = torch.tensor(
        [
            settings.cross_entropy_weight,
            settings.total_variation_l2,
            settings.total_variation_l1,
            settings.image_l2,
            settings.batch_norm_weight,
        ],
        device=next(network.parameters()).device,
    )

    def objective(region: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        distance.start()
        logits = network(region).float()
        l2, l1 = total_variation(region)
        terms = torch.stack([label_loss(logits, targets), l2, l1, image_norm(region), distance.total()])
        distance.start()  # what a compiled program has made must not outlive its call
        return (weights * terms).sum(), terms.detach()

    return objective


Watch = Callable[[int, Tensor], None]  # (iterations done, the canvas as it is), to be looked at and left alone


def invert(
    inversion: Inverter, targets: Tensor, seed: int, round_number: int, batch: int, watch: Watch = lambda *_: None
) -> tuple[Tensor, Tensor]:
    """One batch of images for `targets` (classes [B] or logits [B, K]): (canvas [B, C, S, S], terms [iterations, 5]).

    The canvas starts from N(0, 1), is normalised, clipped and full-sized in the end; a pure function of the
    configuration, `targets`, `seed`, `round_number` and `batch`. `watch` is called first, and after each iteration.
    """
    settings, data, where = inversion.settings, inversion.data, inversion.low.device
    random = seeds.generator(seed, f"canvas {round_number}", batch)
    side = _canvas_side(settings, data, 0)
    canvas = torch.randn(len(targets), data.channels, side, side, generator=random)
    canvas, targets, history = canvas.to(where), targets.to(where), list[Tensor]()
    watch(0, canvas)
    for stage in range(len(settings.stages)):
        canvas = grown(canvas, _canvas_side(settings, data, stage)).contiguous(memory_format=torch.channels_last)
        offsets, flips = draws(settings, data, stage, seed, round_number, batch)
        tell = functools.partial(_tell, watch, sum(map(len, history)))
        history.append(_move(inversion, canvas, targets, stage, (offsets, flips), tell))
    return grown(canvas, data.canvas), torch.cat(history).cpu()


def _tell(watch: Watch, before: int, done: int, canvas: Tensor) -> None:
    watch(before + done, canvas)


def _move(
    inversion: Inverter, canvas: Tensor, targets: Tensor, stage: int, drawn: tuple[Tensor, Tensor], watch: Watch
) -> Tensor:
    """One resolution stage on a canvas, in place, with its own Adam and its own schedule; returns its terms.

    What an iteration depends on lies in tables on the device, made before the first: nothing waits for the device.
    """
    settings, where, (offsets, flips) = inversion.settings, canvas.device, drawn
    scale, iterations, kind = settings.stages[stage]
    pool = scale if kind == "pool" else 1  # the teacher is shown means over pool x pool pixels
    side = inversion.data.region // scale * pool if settings.update == "region" else canvas.shape[-1]
    placements = image_update.placements(shifts(settings, pool * offsets), flips, canvas.shape[-1]).to(where)
    steps = image_update.schedule(_learning_rates(settings, stage), settings.betas).to(where)
    bounds = (inversion.low, inversion.high) if settings.clip else None
    first, second = torch.zeros_like(canvas), torch.zeros_like(canvas)
    terms = torch.empty(iterations, len(TERMS), device=where)
    for iteration, (placement, step) in enumerate(zip(placements, steps, strict=True)):
        region = image_update.region(canvas, placement, side).requires_grad_(True)
        seen = F.avg_pool2d(region, pool) if pool > 1 else region
        with devices.autocast(inversion.run):
            total, terms[iteration] = inversion.objective(seen, targets)
        (gradient,) = torch.autograd.grad(total, region)
        image_update.image_update(canvas, first, second, gradient, placement, step, bounds, settings.betas)
        watch(iteration + 1, canvas)
    return terms


def shifts(settings: SynthesisSettings, offsets: Tensor) -> Tensor:
    """Where each iteration's view begins on the canvas [I, 2]: a region at its offset, a canvas rolled by it, or 0."""
    return {"region": offsets, "jitter": -offsets}.get(settings.update, torch.zeros_like(offsets))


def draws(
    settings: SynthesisSettings, data: DataSettings, stage: int, seed: int, round_number: int, batch: int
) -> tuple[Tensor, Tensor]:
    """Every offset [iterations, 2] and flip [iterations] of a stage: one for the whole batch (the synthesis chapter).

    Offsets are uniform on [0, (S - s) / scale], both ends included; for jitter, on [-jitter, jitter] / scale.
    """
    scale, iterations, _ = settings.stages[stage]
    random = seeds.generator(seed, f"regions {round_number} {stage}", batch)
    if settings.update == "jitter":
        reach = max(min(1, settings.jitter), settings.jitter // scale)  # a coarse canvas still moves, if any does
        offsets = torch.randint(-reach, reach + 1, (iterations, 2), generator=random)
    else:
        span = data.canvas // scale - data.region // scale
        offsets = torch.randint(0, span + 1, (iterations, 2), generator=random)
    coin = torch.rand(iterations, generator=random) < 0.5
    flips = {"random": coin, "always": torch.ones_like(coin), "never": torch.zeros_like(coin)}[settings.flip]
    return offsets, flips


def _learning_rates(settings: SynthesisSettings, stage: int) -> list[float]:
    iterations = settings.stages[stage][1]
    base, warm_up = settings.learning_rates[stage], settings.warm_up
    return [learning_rate(iteration, iterations, base, warm_up) for iteration in range(iterations)]


def learning_rate(iteration: int, iterations: int, base: float, warm_up: int) -> float:
    """Linear warm-up, then cosine to zero, anew in each stage (as in the authors' code)."""
    if iteration < warm_up:
        return base * (iteration + 1) / warm_up
    return 0.5 * base * (1 + math.cos(math.pi * (iteration - warm_up) / max(1, iterations - warm_up)))


def clip_bounds(mean: tuple[float, ...], std: tuple[float, ...]) -> tuple[Tensor, Tensor]:
    """The teacher's normalised values of black and white, by channel (the synthesis chapter)."""
    m, s = torch.tensor(mean, dtype=torch.float64), torch.tensor(std, dtype=torch.float64)
    return (-m / s).float(), ((1 - m) / s).float()


def _canvas_side(settings: SynthesisSettings, data: DataSettings, stage: int) -> int:
    """A pooled canvas is full-sized from the start; a grown one follows its stage's scale."""
    scale, _, kind = settings.stages[stage]
    return data.canvas // scale if kind == "grow" else data.canvas


def grown(canvas: Tensor, side: int) -> Tensor:
    """The canvas at a larger side."""
    if canvas.shape[-1] == side:
        return canvas
    return F.interpolate(canvas, size=(side, side), mode="bilinear", align_corners=False)
