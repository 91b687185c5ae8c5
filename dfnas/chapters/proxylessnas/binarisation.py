"""Path binarisation (ProxylessNAS paper, section 3): paths drawn from architecture parameters, and what moves these.

`alphas` holds a block's parameters in each tensor; the softmax of a tensor is how probable the block's operations are.
"""

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dfnas.data import sources
from dfnas.data.images import batch_indices, to_input
from dfnas.data.sources import Source
from dfnas.models.mbconv import ZERO, Supernet
from dfnas.profiles import ProxylessSettings, RunSettings, Settings
from dfnas.runtime import devices, distributed, seeds
from dfnas.training import loop, losses

SNAPSHOTS = 100  # of the architecture parameters, over a search

Path = tuple[int, ...]


def draw(alphas: Sequence[Tensor], count: int, generator: torch.Generator) -> Tensor:
    """`count` paths [count, blocks], each block's operation drawn from its softmax."""
    columns = [torch.multinomial(alpha.softmax(0), count, True, generator=generator) for alpha in alphas]
    return torch.stack(columns, 1)


def draw_pairs(alphas: Sequence[Tensor], generator: torch.Generator) -> tuple[Path, Path]:
    """Two different operations of each block: the active ones, and those that are compared with them.

    The pair is drawn without replacement from the softmax, the active one of it from the softmax of the pair (paper,
    section 3.2.1).
    """
    active, inactive = [], []
    for alpha in alphas:
        pair = torch.multinomial(alpha.softmax(0), 2, generator=generator)
        first = int(torch.multinomial(alpha[pair].softmax(0), 1, generator=generator))
        active.append(int(pair[first]))
        inactive.append(int(pair[1 - first]))
    return tuple(active), tuple(inactive)


def most_probable(alphas: Sequence[Tensor]) -> Path:
    """The path of the largest parameters: what a search leaves."""
    return tuple(int(alpha.argmax()) for alpha in alphas)


def entropy(alphas: Sequence[Tensor]) -> float:
    """The entropy of the distribution over paths, in nats: the blocks' entropies, added up."""
    logs = [alpha.log_softmax(0) for alpha in alphas]
    return -sum(float((log.exp() * log).nan_to_num(0.0).sum()) for log in logs)


def reward(accuracy: Tensor, cost: Tensor, reference: float, exponent: float) -> Tensor:
    """Accuracy times (reference / cost)^exponent (as in MnasNet, and in ProxylessNAS's code); both [S]."""
    return accuracy * (reference / cost) ** exponent


def moved_baseline(baseline: float | None, mean: float, rate: float) -> float:
    """The baseline after an update of mean reward `mean`: the first mean, then a step of `rate` to the newest one."""
    return mean if baseline is None else baseline + rate * (mean - baseline)


def reinforce_gradients(alphas: Sequence[Tensor], paths: Tensor, advantages: Tensor) -> list[Tensor]:
    """The gradient of each block's parameters, to be descended (REINFORCE; paper, section 3.3.2).

    The mean over paths [S, blocks] of advantage [S] times the gradient of -log probability, which is the softmax less
    one at the operation that was drawn.
    """
    gradients = []
    for alpha, drawn in zip(alphas, paths.T, strict=True):
        slope = alpha.softmax(0) - torch.nn.functional.one_hot(drawn, len(alpha)).to(alpha.dtype)
        gradients.append((advantages.to(alpha.dtype)[:, None] * slope).mean(0))
    return gradients


def pair_gradient(alpha: Tensor, pair: tuple[int, int], slopes: Tensor) -> Tensor:
    """The gradient of a block's parameters from the slopes [2] of its two gates (paper, section 3.2.1).

    The gates stand for the probabilities of the pair, renormalised: dL/da_i = sum_j dL/dg_j p_j (delta_ij - p_i).
    """
    gradient, index = torch.zeros_like(alpha), list(pair)
    probability = alpha[index].softmax(0)
    slopes = slopes.to(alpha.dtype)
    gradient[index] = probability * (slopes - (probability * slopes).sum())
    return gradient


def rescale_(alpha: Tensor, pair: tuple[int, int], before: Tensor) -> None:
    """Shift both parameters of a pair so that the other operations' probabilities are what they were `before`."""
    index = list(pair)
    alpha[index] += before[index].logsumexp(0) - alpha[index].logsumexp(0)


def initial(sizes: Sequence[int], generator: torch.Generator) -> list[Tensor]:
    """Architecture parameters before the search: normal, with deviation 0.001 (ProxylessNAS's code)."""
    return [1e-3 * torch.randn(size, generator=generator) for size in sizes]


def padded(alphas: Sequence[Tensor]) -> Tensor:
    """Parameters as one tensor [blocks, most operations], -inf where a block has fewer operations."""
    widest = max(len(alpha) for alpha in alphas)
    return torch.stack([torch.nn.functional.pad(a, (0, widest - len(a)), value=-math.inf) for a in alphas])


@dataclass(frozen=True)
class Costs:
    """What a path costs: what all paths share, and each block's operations; in multiply-adds or milliseconds."""

    fixed: float
    rows: tuple[tuple[float, ...], ...]
    reference: float

    def of(self, paths: Tensor) -> Tensor:
        """The costs [S] of paths [S, blocks]."""
        parts = [torch.tensor(row, dtype=torch.float64)[drawn] for row, drawn in zip(self.rows, paths.T, strict=True)]
        return self.fixed + torch.stack(parts).sum(0)


class Drawing(loop.Stateless):
    """The companion that draws each step's path from the architecture parameters, which it leaves as they are."""

    def __init__(self, supernet: Supernet, seed: int) -> None:
        self.supernet, self.seed = supernet, seed
        sizes = [shape.operations for shape in supernet.space.blocks]
        self.alphas = initial(sizes, seeds.generator(seed, "alphas"))

    def before(self, step: int, steps: int, rate: float, optimiser: torch.optim.Optimizer) -> None:
        random = seeds.generator(self.seed, f"path {type(self).__name__}", step)
        self.supernet.choose(draw(self.alphas, 1, random)[0].tolist())


class Search(Drawing):
    """The companion that moves the architecture parameters on held-out images before it draws a step's path."""

    def __init__(
        self, supernet: Supernet, held_out: Source, costs: Costs, settings: Settings, chapter: ProxylessSettings
    ) -> None:
        super().__init__(supernet, settings.seed)
        self.settings, self.chapter, self.costs = settings, chapter, costs
        self.baseline: float | None = None
        self.held_out = sources.judged(held_out, settings, chapter.side)
        self.loss = losses.loss_for(held_out, self.chapter.temperature)
        self.optimiser = torch.optim.Adam(
            self.alphas, lr=self.chapter.architecture_rate, betas=self.chapter.architecture_betas
        )
        self.snapshots: list[Tensor] = []
        self.steps: list[int] = []
        self.log: dict[str, list[float]] = {}

    def before(self, step: int, steps: int, rate: float, optimiser: torch.optim.Optimizer) -> None:
        for number in due(step, steps, self.chapter.updates, self.chapter.delay):
            facts = (self.reinforce if self.chapter.update == "reinforce" else self.descend)(number)
            for name, value in {"step": step, **facts, "entropy": entropy(self.alphas)}.items():
                self.log.setdefault(name, []).append(value)
        if step % max(1, steps // SNAPSHOTS) == 0 or step + 1 == steps:
            self.snapshots.append(padded(self.alphas))
            self.steps.append(step)
        super().before(step, steps, rate, optimiser)

    def reinforce(self, number: int) -> dict[str, float]:
        """An update by REINFORCE: architectures drawn and judged on one batch; those above the baseline gain."""
        chapter = self.chapter
        random = seeds.generator(self.seed, "architectures", number)
        paths = draw(self.alphas, chapter.samples, random)
        accuracies, costs = self.judge(paths, number), self.costs.of(paths)
        rewards = reward(accuracies, costs, self.costs.reference, chapter.exponent)
        self.baseline = baseline = moved_baseline(self.baseline, float(rewards.mean()), chapter.baseline_rate)
        self._step(reinforce_gradients(self.alphas, paths, rewards - baseline))
        facts = {"accuracy": accuracies, "cost": costs, "reward": rewards}
        means = {name: float(values.mean()) for name, values in facts.items()}
        return means | {"spread": float(accuracies.std(unbiased=False))}

    @torch.no_grad()
    def judge(self, paths: Tensor, number: int) -> Tensor:
        """Accuracies [S] of paths on the same held-out batch, each with the statistics of that batch (train mode)."""
        shown = self._batch(number)
        found: dict[tuple[int, ...], Tensor] = {}
        for path in map(tuple, paths.tolist()):
            if path not in found:
                self.supernet.choose(path)
                found[path] = right(self.supernet, shown, self.settings.run).double().mean()
        accuracies = torch.stack([found[tuple(path)] for path in paths.tolist()])
        distributed.mean_([accuracies])
        return accuracies.cpu()

    def descend(self, number: int) -> dict[str, float]:
        """An update by gradients: two operations of each block are compared, and one gains what the other loses."""
        random = seeds.generator(self.seed, "pairs", number)
        active, inactive = draw_pairs(self.alphas, random)
        shown = self._batch(number)
        inputs = to_input(shown.images[:], shown.mean, shown.std)
        gates = self.supernet.open_gates(active, inactive)
        with statistics_kept(self.supernet), devices.autocast(self.settings.run, self.supernet):
            logits = self.supernet(inputs)
            loss = self.loss(logits, shown.targets)
        slopes = torch.stack(torch.autograd.grad(loss, gates, allow_unused=True, materialize_grads=True))
        distributed.mean_([slopes])
        weight, pairs = self.chapter.cost_weight / self.costs.reference, list(zip(active, inactive, strict=True))
        gradients = []
        for alpha, pair, slope, row in zip(self.alphas, pairs, slopes.cpu(), self.costs.rows, strict=True):
            price = weight * torch.tensor([row[operation] for operation in pair])
            # The authors' code takes no gradient where the active operation is zero.
            total = torch.zeros(2) if pair[0] == ZERO else slope + price
            gradients.append(pair_gradient(alpha, pair, total))
        before = [alpha.clone() for alpha in self.alphas]
        self._step(gradients)
        for alpha, pair, old in zip(self.alphas, pairs, before, strict=True):
            rescale_(alpha, pair, old)
        accuracy, cost = (logits.argmax(1) == shown.classes).double().mean(), self.costs.of(torch.tensor([active]))
        distributed.mean_([accuracy])
        rewards = reward(accuracy.cpu(), cost, self.costs.reference, self.chapter.exponent)
        return {"accuracy": float(accuracy), "cost": float(cost), "reward": float(rewards)}

    def _batch(self, number: int) -> Source:
        """The held-out batch of an update."""
        count = len(self.held_out)
        chosen = batch_indices(count, min(self.chapter.judged_batch, count), number, self.seed, "judged")
        chosen, _ = distributed.part(chosen, chosen)
        return self.held_out.select(chosen.to(self.held_out.images.device))

    def _step(self, gradients: Sequence[Tensor]) -> None:
        for alpha, gradient in zip(self.alphas, gradients, strict=True):
            alpha.grad = gradient
        self.optimiser.step()

    def state_dict(self) -> dict[str, Any]:
        kept = {name: getattr(self, name) for name in ("alphas", "baseline", "snapshots", "steps", "log")}
        return {**kept, "optimiser": self.optimiser.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for alpha, saved in zip(self.alphas, state["alphas"], strict=True):
            alpha.copy_(saved)
        self.optimiser.load_state_dict(state["optimiser"])
        for name in ("baseline", "steps", "log"):
            setattr(self, name, state[name])
        # Checkpoints are read to the device of the network, and these stay with the architecture parameters.
        self.snapshots = [snapshot.cpu() for snapshot in state["snapshots"]]


def due(step: int, steps: int, updates: int, delay: float) -> range:
    """The updates of the architecture parameters before a step: spread evenly, none in the first `delay`."""
    first = round(delay * steps)
    if step < first:
        return range(0)
    ends = [(step - first + plus) * updates // (steps - first) for plus in (0, 1)]
    return range(*ends)


@torch.no_grad()
def right(network: nn.Module, shown: Source, run: RunSettings) -> Tensor:
    """Whether a network in train mode gives each image its class: batch norm takes the statistics of these images.

    Running statistics are those of all paths mixed, and would judge none of them fairly; they stay as they are.
    """
    with statistics_kept(network), devices.autocast(run, network):
        return network(to_input(shown.images[:], shown.mean, shown.std)).argmax(1) == shown.classes


@contextlib.contextmanager
def statistics_kept(network: nn.Module) -> Iterator[None]:
    """Inside, a network in train mode takes batch statistics and leaves its running ones as they are."""
    layers = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
    try:
        yield
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
