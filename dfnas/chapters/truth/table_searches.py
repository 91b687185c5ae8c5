"""Searches in a table's space: what each finds is looked up, not trained."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from dfnas.chapters.proxylessnas import binarisation
from dfnas.data import sources
from dfnas.data.sources import Source
from dfnas.models import nasbench
from dfnas.models.chain import Choices
from dfnas.models.nasbench import Space
from dfnas.profiles import EvolutionSettings, PolicySettings, Settings
from dfnas.runtime import devices, logs, seeds
from dfnas.runtime.files import write_tensors
from dfnas.runtime.progress import bar
from dfnas.search import evolution
from dfnas.search.architecture_update import ArchitectureUpdate
from dfnas.training import loop, losses

ASKED = "asked.jsonl"

Judge = Callable[[Choices], float]  # gives an architecture's score
Find = tuple[Choices, dict[str, float]]  # an architecture of the table, and facts about the search


def evolve(
    folder: Path, judge: Judge, known: Sequence[Choices], space: Space, recipe: EvolutionSettings, seed: int
) -> Find:
    """The best of what evolution looked at, by a supernet's scores; `evaluations` says how many these were."""
    table = set(known)
    problem = evolution.Problem(
        random=lambda generator: known[int(torch.randint(len(known), (), generator=generator))],
        redraw=lambda _, position, generator: int(torch.randint(space.options[position], (), generator=generator)),
        admissible=table.__contains__,
        evaluate=judge,
    )
    visited = evolution.search(problem, recipe, seed, folder)
    return evolution.ranked(visited)[0].candidate, {"evaluations": len(visited)}


def reinforce(
    folder: Path, judge: Judge, known: Sequence[Choices], space: Space, recipe: PolicySettings, seed: int
) -> Find:
    """The likeliest architecture of a policy that REINFORCE moved, whose reward is a supernet's score.

    Scores are written down, so a search that was killed asks for none twice. `entropy` is the mean over positions, in
    nats, at the end.
    """
    logs.mend(folder / ASKED)
    scores = {tuple(row["choices"]): row["score"] for row in logs.read(folder / ASKED)}
    alphas = [torch.zeros(count, requires_grad=True) for count in space.options]
    optimiser, baseline = torch.optim.Adam(alphas, lr=recipe.rate), None
    for update in bar(range(recipe.updates), desc="REINFORCE", unit="update"):
        given = [alpha.detach() for alpha in alphas]
        drawn = binarisation.draw(given, recipe.samples, seeds.generator(seed, "reinforce", update))
        paths = [tuple(path) for path in drawn.tolist()]
        for path in paths:
            if path not in scores:
                scores[path] = judge(path)
                logs.append(folder / ASKED, {"choices": path, "score": scores[path]})
        rewards = torch.tensor([scores[path] for path in paths])
        baseline = binarisation.moved_baseline(baseline, float(rewards.mean()), recipe.baseline_rate)
        for alpha, gradient in zip(
            alphas, binarisation.reinforce_gradients(given, drawn, rewards - baseline), strict=True
        ):
            alpha.grad = gradient
        optimiser.step()
    return likeliest(alphas, known), {"evaluations": len(scores), "entropy": _entropy(alphas)}


@torch.no_grad()
def likeliest(alphas: Sequence[Tensor], known: Sequence[Choices]) -> Choices:
    """Of the table's architectures the one whose choices' softmax has the largest product."""
    chosen = [alpha.log_softmax(0)[column] for alpha, column in zip(alphas, torch.tensor(known).T, strict=True)]
    return known[int(torch.stack(chosen).sum(0).argmax())]


def _entropy(alphas: Sequence[Tensor]) -> float:
    return binarisation.entropy([alpha.detach() for alpha in alphas]) / len(alphas)


def darts(folder: Path, source: Source, known: Sequence[Choices], space: Space, settings: Settings, seed: int) -> Find:
    """The likeliest architecture of a mixture: half of a source moves its weights, the other half the parameters.

    Writes alphas.safetensors, the parameters [T, positions, choices] every few steps and after the last.
    """
    chapter, data = settings.truth, settings.data
    side = chapter.side or data.region
    halves = sources.split(source, len(source) // 2, data.classes, seed)
    network = nasbench.Mixture(space, data.classes, data.channels, seed)
    devices.place(network, devices.device(settings.run))
    weights, alphas = (
        sources.sampler(half, chapter.darts.search, settings, seed, name)
        for half, name in zip(halves, ("weights", "alphas"), strict=True)
    )
    loss = losses.loss_for(source, chapter.temperature)
    update = ArchitectureUpdate(
        network,
        lambda step: weights(step, side),
        lambda step: alphas(step, side),
        lambda inputs, targets: loss(network(inputs), targets),
        chapter.darts,
    )
    loop.train(
        network,
        weights,
        loss,
        chapter.darts.search,
        settings.run,
        steps=(steps := loop.steps_of(chapter.darts.search, len(halves[0]))),
        side=side,
        folder=folder,
        companion=update,
        seed=seed,
        description=f"DARTS on {source.name}",
    )
    loop.keep(folder, None)
    write_tensors(folder / "alphas.safetensors", {"alphas": torch.stack(update.snapshots).cpu()})
    kept = [alpha.detach().cpu() for alpha in network.alphas]
    return likeliest(kept, known), {"entropy": _entropy(kept), "steps": steps}
