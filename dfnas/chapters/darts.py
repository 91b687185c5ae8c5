"""DARTS: architecture parameters and weights, moved in turn by gradients (DARTS paper, algorithm 1)."""

import contextlib
import functools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from dfnas.chapters import costs, exports
from dfnas.data import sources
from dfnas.data.origins import Origin, held, names
from dfnas.data.sources import Source
from dfnas.data.teachers import Teacher
from dfnas.data.teachers import load as load_teacher
from dfnas.errors import UserError
from dfnas.models import darts as space
from dfnas.models import darts_supernet
from dfnas.models.darts_supernet import Supernet
from dfnas.models.nasbench import Mixture
from dfnas.profiles import DartsSettings, MixtureSettings, Settings
from dfnas.runtime import devices, distributed, processes, stages
from dfnas.runtime.artefacts import Artefact
from dfnas.runtime.files import write_tensors
from dfnas.search import scratch, standings
from dfnas.synthesis import sets
from dfnas.training import evaluation, loop, losses

VERSION = 2
KEEP_EVERY = 10  # steps between two snapshots of the architecture parameters
WATCHED = 500  # images of the held-out half that the supernet is watched on


def compute(settings: Settings) -> dict[str, Artefact]:
    """The chapter's stages: a search on each source, random architectures of like cost, all trained from scratch."""
    check(settings)
    chapter, teacher = settings.darts, load_teacher(settings)
    origins = sets.origins_of(settings, teacher)
    artefacts = held(origins)
    runs = [(f"search-{name}", name, settings.seed) for name in origins]
    more = range(settings.seed + 1, settings.seed + chapter.search_seeds)
    runs += [(f"search-synthetic-{seed}", "synthetic", seed) for seed in more]
    calls = {
        label: functools.partial(search_stage, origins[name], settings, teacher, seed) for label, name, seed in runs
    }
    artefacts |= processes.made(calls, settings.run, "searches")
    searches = [artefacts[f"search-{name}"] for name in origins]
    artefacts["random"] = scratch.random_stage(
        "darts-random", settings, chapter.scratch, searches, lambda generator: _random_text(chapter, generator)
    )
    temperature = chapter.temperature
    artefacts |= scratch.band(settings, chapter.scratch, "darts", artefacts, teacher, temperature=temperature)
    artefacts["export"] = exports.find_stage("darts", artefacts, chapter.scratch, settings, teacher)
    return artefacts


def plan(settings: Settings) -> list[dict[str, Any]]:
    """The searches, each step of which takes several passes, and the trainings of what they find."""
    check(settings)
    chapter = settings.darts
    searches = len(names(settings.data)) + chapter.search_seeds - 1
    network = darts_network(settings)
    half, recipe = settings.synthesis.images // 2, chapter.search
    row = costs.train(f"searches x {searches}", settings, network, recipe, half, chapter.side)
    # In passes over the supernet's multiply-adds: 3 move the weights. First order: forward and the gradient of what
    # flows. Second order: two whole gradients and two of the parameters alone. One of the whole ones is in float64: an
    # assumed three times the passes (on one core here seven to nine times the seconds).
    row = costs.scaled(row, (3 + (2 if chapter.order == "first" else 16)) / 3)
    size = space.Size(chapter.scratch_channels, chapter.scratch_cells)
    judged = space.to_text(space.DARTS_V2, size)  # of the cost of what is found, which is not known yet
    return [
        costs.synthetic_set("synthesis", settings, settings.synthesis),
        costs.times(row, searches),
        costs.from_scratch(settings, chapter.scratch, judged),
    ]


def check(settings: Settings) -> None:
    """Refuse settings that do not fit together.

    Raises
    ------
    UserError
        With the field that is wrong, or where the profile has no such search.
    """
    chapter = settings.darts
    if chapter is None:
        raise UserError(f"profile {settings.profile} has no DARTS search")


def _size(chapter: DartsSettings) -> space.Size:
    return space.Size(chapter.scratch_channels, chapter.scratch_cells)


def _random_text(chapter: DartsSettings, generator: torch.Generator) -> str:
    return space.to_text(space.random_genotype(generator), _size(chapter))


def search_stage(origin: Origin, settings: Settings, teacher: Teacher, seed: int) -> Artefact:
    """The stage that searches on one source; writes architectures.json, alphas.safetensors and history.json."""

    def work(folder: Path) -> None:
        with origin.guarded():
            search(folder, origin.load(settings, teacher), settings, seed)

    depends = stages.without(settings.darts, "scratch", "search_seeds")
    depends |= {"source": origin.name, "seed": seed, "images": settings.synthesis.images}
    name, inputs = f"darts-search-{origin.name}-{seed}", [origin.given, teacher.digest]
    version = VERSION + (settings.darts.order == "second")  # whose unrolled step is in float64 since
    return stages.stage(name, work, depends, inputs=inputs, version=version, run=settings.run)


def search(folder: Path, source: Source, settings: Settings, seed: int) -> None:
    """Search on a source: its one half moves the weights, its other half the architecture parameters."""
    chapter, data = settings.darts, settings.data
    side = chapter.side or data.region
    for_weights, for_alphas = sources.split(source, len(source) // 2, data.classes, seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        supernet = Supernet(space.Size(chapter.channels, chapter.cells), data.classes, data.channels)
    devices.place(supernet, devices.device(settings.run))
    sample = sources.sampler(for_weights, chapter.search, settings, seed, "weights")
    loss = losses.loss_for(source, chapter.temperature)
    companion = ArchitectureUpdate(
        supernet,
        lambda step: sample(step, side),
        _held_out(for_alphas, chapter, settings, seed, side),
        lambda inputs, targets: loss(supernet(inputs), targets),
        chapter,
    )
    watched = sources.judged(for_alphas.select(torch.arange(min(WATCHED, len(for_alphas)))), settings, side)
    _, history = loop.train(
        supernet,
        sample,
        loss,
        chapter.search,
        settings.run,
        steps=loop.steps_of(chapter.search, len(for_weights)),
        side=side,
        folder=folder,
        evaluate=lambda network: evaluation.accuracy_on(network, watched, settings.run)[0],
        companion=companion,
        description=f"DARTS on {source.name}",
    )
    genotype = space.discretise(*(alpha.detach().cpu() for alpha in supernet.alphas))
    scratch.write_architectures(folder, [space.to_text(genotype, _size(chapter))])
    write_tensors(folder / "alphas.safetensors", {"alphas": torch.stack(companion.snapshots).cpu()})
    loop.keep(folder, None, history)


def _held_out(
    half: Source, chapter: DartsSettings, settings: Settings, seed: int, side: int
) -> Callable[[int], tuple[Tensor, Tensor]]:
    sample = sources.sampler(half, chapter.search, settings, seed, "alphas")
    return lambda step: sample(step, side)


class ArchitectureUpdate:
    """The companion of the weights' training: moves the architecture parameters before every step of the weights.

    They are no parameters of the network: its optimiser, its weight decay and its clipping never see them. All of it is
    in fp32, whatever precision the weights' own steps have: a step of these parameters, and the shift of the weights
    that the second order takes a difference over, are less than bf16 resolves.
    """

    def __init__(
        self,
        supernet: Supernet | Mixture,
        train: Callable[[int], tuple[Tensor, Tensor]],
        held_out: Callable[[int], tuple[Tensor, Tensor]],
        loss: Callable[[Tensor, Tensor], Tensor],
        settings: DartsSettings | MixtureSettings,
    ) -> None:
        self.supernet, self.train, self.held_out, self.loss, self.settings = supernet, train, held_out, loss, settings
        self.optimiser = torch.optim.Adam(
            supernet.alphas,
            lr=settings.architecture_rate,
            betas=settings.architecture_betas,
            weight_decay=settings.architecture_decay,
        )
        self.snapshots: list[Tensor] = []

    def before(self, step: int, steps: int, rate: float, optimiser: torch.optim.Optimizer) -> None:
        """One step of Adam on the held-out batch; afterwards the weights' backward pass leaves the parameters out."""
        alphas = self.supernet.alphas
        for alpha in alphas:
            alpha.requires_grad_(True)
        with devices.full_precision(alphas[0].device):
            gradients = self._gradients(step, rate, optimiser)
        for alpha, gradient in zip(alphas, gradients, strict=True):
            alpha.grad = gradient
            alpha.requires_grad_(False)
        self.optimiser.step()
        if step % KEEP_EVERY == 0 or step + 1 == steps:
            self.snapshots.append(torch.stack([alpha.detach().clone() for alpha in alphas]))

    def _gradients(self, step: int, rate: float, optimiser: torch.optim.Optimizer) -> Sequence[Tensor]:
        held_out, weights = distributed.part(*self.held_out(step)), list(self.supernet.parameters())
        if self.settings.order == "first":
            with _frozen(weights):
                return _gradients(self.loss(*held_out), self.supernet.alphas)
        (inputs, targets), group = distributed.part(*self.train(step)), optimiser.param_groups[0]
        return unrolled(
            lambda: self.loss(inputs.to(weights[0].dtype), targets),  # in double where the weights are
            lambda: self.loss(*held_out),
            weights,
            self.supernet.alphas,
            [optimiser.state[weight].get("momentum_buffer") for weight in weights],
            rate=rate,
            momentum=group["momentum"],
            decay=group["weight_decay"],
            exact=lambda: _in_double(self.supernet),  # type: ignore[arg-type]  # a Mixture is of first order
        )

    def state_dict(self) -> dict[str, Any]:
        alphas = [alpha.detach() for alpha in self.supernet.alphas]
        return {"alphas": alphas, "optimiser": self.optimiser.state_dict(), "snapshots": self.snapshots}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        with torch.no_grad():
            for alpha, saved in zip(self.supernet.alphas, state["alphas"], strict=True):
                alpha.copy_(saved)
        self.optimiser.load_state_dict(state["optimiser"])
        self.snapshots = list(state["snapshots"])


def unrolled(
    train_loss: Callable[[], Tensor],
    held_out_loss: Callable[[], Tensor],
    weights: Sequence[Tensor],
    alphas: Sequence[Tensor],
    momenta: Sequence[Tensor | None],
    *,
    rate: float,
    momentum: float = 0.0,
    decay: float = 0.0,
    exact: Callable[[], AbstractContextManager] = contextlib.nullcontext,
) -> list[Tensor]:
    """The second-order gradient of the architecture parameters (DARTS paper, equations 6 to 8).

    The held-out loss is taken where one step on the training loss would bring the weights (equation
    `eq-darts-unrolled`), a step that is computed in the context `exact`; the mixed second derivative is a difference of
    two gradients, at weights shifted by 0.01 along the held-out gradient. The weights are afterwards what they were,
    bit for bit.
    """
    kept = [weight.detach().clone() for weight in weights]
    with exact():
        gradients = _gradients(train_loss(), weights)
    with torch.no_grad():
        for weight, wide, buffer in zip(weights, gradients, momenta, strict=True):
            gradient = wide.to(weight.dtype)
            step = gradient + decay * weight if buffer is None else gradient + decay * weight + momentum * buffer
            weight.sub_(step, alpha=rate)
    direct = _gradients(held_out_loss(), [*alphas, *weights])
    direct, vector = direct[: len(alphas)], direct[len(alphas) :]
    epsilon = 0.01 / torch.linalg.vector_norm(torch.stack(torch._foreach_norm(vector)))
    shifted = [_at(kept, vector, sign * epsilon, weights, train_loss, alphas) for sign in (1, -1)]
    _copy(weights, kept)
    return [d - rate * (p - m) / (2 * epsilon) for d, p, m in zip(direct, *shifted, strict=True)]


@contextlib.contextmanager
def _in_double(supernet: Supernet) -> Iterator[None]:
    """Inside, the weights are in float64, and the network is computed in its plain form.

    Where a step in fp32 would bring them is too far off: of the activations there that are close to zero some lie on
    its other side, and in a deep supernet the held-out gradient and all that follows from it are others.
    """
    weights, fast = [(weight, weight.data) for weight in supernet.parameters()], supernet.fast
    try:
        supernet.fast = False
        for weight, kept in weights:
            weight.data = kept.double().contiguous()  # faster than channels_last
        yield
    finally:
        supernet.fast = fast
        for weight, kept in weights:
            weight.data = kept


def _at(
    kept: Sequence[Tensor],
    vector: Sequence[Tensor],
    length: Tensor,
    weights: Sequence[Tensor],
    loss: Callable[[], Tensor],
    alphas: Sequence[Tensor],
) -> Sequence[Tensor]:
    """The gradient of the architecture parameters with the weights shifted along a vector."""
    _copy(weights, [weight + length * direction for weight, direction in zip(kept, vector, strict=True)])
    with _frozen(weights):
        return _gradients(loss(), alphas)


@contextlib.contextmanager
def _frozen(weights: Sequence[Tensor]) -> Iterator[None]:
    """Where gradients of the architecture parameters alone are asked for, those of the weights are not computed."""
    for weight in weights:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in weights:
            weight.requires_grad_(True)


def _gradients(loss: Tensor, of: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The gradients of a loss, averaged over the processes."""
    gradients = torch.autograd.grad(loss, of)
    distributed.mean_(gradients)
    return gradients


@torch.no_grad()
def _copy(weights: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    for weight, value in zip(weights, values, strict=True):
        weight.copy_(value)


def snapshots(artefact: Artefact) -> Tensor:
    """The architecture parameters [T, 2, 14, 8] of a search, every `KEEP_EVERY` steps and after the last."""
    return load_file(artefact.folder / "alphas.safetensors")["alphas"]


def entropy(alphas: Tensor) -> Tensor:
    """The mean entropy [...] of the edges' softmax, in nats: ln 8 where nothing is decided, 0 where all is.

    `alphas` is [..., 2, 14, 8].
    """
    log = alphas.log_softmax(-1)
    return -(log.exp() * log).sum(-1).mean((-2, -1))


def skip_share(alphas: Tensor) -> Tensor:
    """The mean softmax weight [...] of the skip connections: a search that collapses drives it to 1."""
    return alphas.softmax(-1)[..., space.PRIMITIVES.index("skip_connect")].mean((-2, -1))


def agreement(first: str, second: str) -> float:
    """The share of (cell, node, operation, predecessor) that two architectures have in common: 0 to 1."""

    def edges(text: str) -> set[tuple[Any, ...]]:
        genotype, _ = space.from_text(text)
        cells = {"normal": genotype.normal, "reduce": genotype.reduce}
        return {(kind, index // 2, *pair) for kind, pairs in cells.items() for index, pair in enumerate(pairs)}

    return len(edges(first) & edges(second)) / len(edges(first))


def darts_network(settings: Settings) -> nn.Module:
    """The supernet of the DARTS chapter at full size, on the meta device: shapes without memory."""
    chapter, data = settings.darts, settings.data
    with torch.device("meta"):
        size = space.Size(chapter.channels, chapter.cells)
        return darts_supernet.Supernet(size, data.classes, data.channels, fast=False)


def chance_agreement(seed: int, pairs: int = 1000) -> Tensor:
    """The `agreement` [pairs] of two random genotypes."""
    generator = torch.Generator().manual_seed(seed)
    texts = [space.to_text(space.random_genotype(generator), space.Size(4, 3)) for _ in range(2 * pairs)]
    return torch.tensor([agreement(*pair) for pair in zip(texts[::2], texts[1::2], strict=True)])


def metrics(searches: Mapping[str, Artefact], artefacts: Mapping[str, Artefact], settings: Settings) -> dict[str, Any]:
    """For the record: how the searches ended, what the finds are worth, and the settings that prose quotes.

    `searches` has one on each source, and "synthetic, second seed"; `artefacts` are those of `compute`.
    """
    chance = chance_agreement(settings.seed)
    found: dict[str, Any] = standings.told(artefacts, settings.darts.scratch.tolerance) | outcomes(searches)
    found |= {"agreement_random": float(chance.mean()), "agreement_random_high": float(chance.quantile(0.95))}
    trained = json.loads((artefacts["random-0"].folder / "scratch.json").read_bytes())
    found["scratch_steps"] = trained["history"]["step"][-1]
    found["search_steps"] = _history(searches["synthetic"])["step"][-1]
    found["images"] = settings.synthesis.images
    fields = ("order", "architecture_rate", "cells", "channels", "scratch_cells", "scratch_channels")
    return found | {field: getattr(settings.darts, field) for field in fields}


def outcomes(searches: Mapping[str, Artefact]) -> dict[str, float]:
    """For the record: what each search came to after its last step, and the `agreement` of those that are compared."""
    found: dict[str, float] = {}
    texts = {label: scratch.read_architectures(search.folder)[0] for label, search in searches.items()}
    for label, search in searches.items():
        alphas, key = snapshots(search), label.replace(", ", "_").replace(" ", "_")
        found[f"entropy_{key}"] = float(entropy(alphas)[-1])
        found[f"skip_weight_{key}"] = float(skip_share(alphas)[-1])
        found[f"skip_connections_{key}"] = texts[label].count("skip_connect")
        found[f"held_out_{key}"] = _history(search)["validation_accuracy"][-1]
    for one, other in (*standings.COMPARED, ("synthetic", "synthetic, second seed")):
        if not {one, other} <= set(texts):
            continue
        found[f"agreement_{one}_{other.rpartition(' ')[2]}"] = agreement(texts[one], texts[other])
    return found


def _history(search: Artefact) -> dict[str, list[Any]]:
    return json.loads((search.folder / "history.json").read_bytes())
