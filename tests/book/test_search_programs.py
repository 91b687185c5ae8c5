"""The programs of the search chapters and of pruning: they take the package's steps, in float64 to its last digits."""

import ast
import copy
import dataclasses
import functools
from collections.abc import Iterable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dfnas import profiles
from dfnas.chapters.proxylessnas import binarisation
from dfnas.data.sources import Source
from dfnas.data.splits import no_real_data
from dfnas.models import chain, pruning, pruning_net, shufflenet
from dfnas.models.darts_supernet import MixedOperation
from dfnas.runtime import seeds
from dfnas.search import architecture_update, evolution, supernets
from dfnas.training import evaluation, loop

from .test_programs import PROGRAMS

TOLERANCE = 1e-9  # in float64: of weights, of architecture parameters and of logits
SETTINGS = profiles.load("smoke", 0, ["run.device=cpu"])
PLAIN = profiles.settings.TrainingSettings(
    batch=64, learning_rate=0.1, nesterov=False, weight_decay=0, warm_up=0, schedule="linear", final_learning_rate=0.1
)  # the recipe of all programs: SGD at one rate, with momentum 0.9


@pytest.fixture(autouse=True)
def double() -> Iterator[None]:
    """In float64, so that rounding does not grow with the steps and what is left is what is computed."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def run(name: str, **changes: Any) -> dict[str, Any]:
    """What a program leaves; `changes` are made before its first loop, and `start` is what was there then."""
    tree = ast.parse(PROGRAMS[name])
    first = next(number for number, node in enumerate(tree.body) if isinstance(node, ast.For))
    space: dict[str, Any] = {"__name__": "program"}
    with torch.random.fork_rng(devices=[]), no_real_data():
        exec(compile(ast.Module(tree.body[:first], []), name, "exec"), space)
        kept = {key: value for key, value in space.items() if isinstance(value, nn.Module)}
        start = copy.deepcopy(kept)
        random = torch.Generator()
        random.set_state(torch.get_rng_state())
        space |= changes
        exec(compile(ast.Module(tree.body[first:], []), name, "exec"), space)
    return space | {"start": start, "random": random}


def batches(program: dict[str, Any], rows: Tensor) -> Any:
    """The batches of a program, one behind another, as the package's loop asks for them."""
    return lambda step, side: (program["inputs"][rows[step % len(rows)]], program["classes"][rows[step % len(rows)]])


def train(network: nn.Module, program: dict[str, Any], rows: Tensor, steps: int, companion: Any) -> None:
    """Train with the package's loop, as far as the program went."""
    sample = batches(program, rows)
    loop.train(network, sample, F.cross_entropy, PLAIN, SETTINGS.run, steps=steps, side=12, companion=companion)


def close(ours: Iterable[Tensor], theirs: Iterable[Tensor]) -> bool:
    """Whether two lists of tensors hold the same values, but for rounding in float64."""
    return all(torch.allclose(one, other, rtol=0, atol=TOLERANCE) for one, other in zip(ours, theirs, strict=True))


class Cell(nn.Module):
    """The cell of chapter 4's program, of the package's mixed operations."""

    def __init__(self, start: dict[str, nn.Module]) -> None:
        super().__init__()
        self.stem, self.edges, self.linear = start["stem"], nn.ModuleList(), start["linear"]
        for modules in start["edges"]:
            self.edges.append(MixedOperation(2, 1))
            self.edges[-1].clear()
            self.edges[-1].update({str(number): module for number, module in enumerate(modules)})
        self.alphas = [torch.zeros(1 + len(edge), requires_grad=True) for edge in self.edges]

    def forward(self, x: Tensor) -> Tensor:
        shares, x = [alpha.softmax(0) for alpha in self.alphas], self.stem(x)
        y = self.edges[0](x, shares[0])
        z = self.edges[1](x, shares[1]) + self.edges[2](y, shares[2])
        return self.linear(torch.cat([y, z], 1).mean((2, 3)))


def test_darts_takes_the_package_s_steps() -> None:
    program = run("04-darts", steps=20)
    cell = Cell(program["start"])
    settings = dataclasses.replace(
        SETTINGS.darts, order="first", architecture_rate=0.03, architecture_betas=(0.5, 0.999), architecture_decay=0
    )
    held_out = batches(program, program["for_alpha"])
    update = architecture_update.ArchitectureUpdate(
        cell, lambda step: (), lambda step: held_out(step, 0), lambda x, y: F.cross_entropy(cell(x), y), settings
    )
    train(cell, program, program["for_weights"], 20, update)
    assert program["alpha"].abs().max() > 0.1
    assert close(cell.alphas, program["alpha"])
    for part in ("stem", "edges", "linear"):
        assert close(getattr(cell, part).parameters(), program[part].parameters())


class Added(nn.Module):
    """A version whose input is added to what it gives."""

    def __init__(self, version: nn.Module) -> None:
        super().__init__()
        self.version = version

    def forward(self, x: Tensor) -> Tensor:
        return x + self.version(x)


def supernet_of(program: dict[str, Any]) -> shufflenet.Supernet:
    """The package's supernet, with the program's parts at their start."""
    start, width = program["start"], program["width"]
    space = shufflenet.Space(stem=width, widths=(width,), repeats=(4,), strides=(1,), tail=width, dropout=0)
    supernet = shufflenet.Supernet(space, 10, 1)
    supernet.stem, supernet.tail, supernet.linear = start["stem"], nn.Identity(), start["linear"]
    supernet.blocks = nn.ModuleList(nn.ModuleList(map(Added, versions)) for versions in start["blocks"])
    return supernet


def test_spos_takes_the_package_s_steps_and_has_its_generation(monkeypatch: pytest.MonkeyPatch) -> None:
    program = run("05-spos", steps=40)
    random, supernet = program["random"], supernet_of(program)
    monkeypatch.setattr(seeds, "generator", lambda *_: random)  # what the program's own random numbers were
    draw = functools.partial(shufflenet.random_choices, supernet.space)
    train(supernet, program, program["batches"], 40, supernets.RandomChoice(supernet, draw, 0))
    for part in ("stem", "blocks", "linear"):
        assert close(getattr(supernet, part).parameters(), program[part].parameters())
    macs = [chain.macs([chain.Layer(16, 16, kernel)], 6) for kernel in program["kernels"]]
    judging = program["judging"]

    @torch.no_grad()
    def judge(path: evolution.Candidate) -> float:
        supernet.choose(path)
        evaluation.recalibrate(supernet, [program["inputs"][judging]], SETTINGS.run)
        return evaluation.accuracy(supernet(program["inputs"][judging]), program["classes"][judging])

    problem = evolution.Problem(
        random=draw,
        redraw=lambda candidate, position, generator: int(torch.randint(4, (), generator=generator)),
        admissible=lambda path: sum(macs[version] for version in path) <= program["limit"],
        evaluate=judge,
    )
    sizes = profiles.settings.EvolutionSettings(
        population=10, generations=1, parents=4, mutations=5, crossovers=5, mutation_probability=0.3, tries=1000
    )
    visited = evolution.search(problem, sizes, 0)
    assert [row.candidate for row in visited] == list(program["scores"])
    assert [row.scores[0] for row in visited] == pytest.approx(list(program["scores"].values()))


def test_spos_moves_the_weights_of_the_path_alone() -> None:
    program = run("05-spos", steps=1)
    path = torch.randint(4, (4,), generator=program["random"]).tolist()
    for before, after, taken in zip(program["start"]["blocks"], program["blocks"], path, strict=True):
        same = [torch.equal(one[1].weight, other[1].weight) for one, other in zip(before, after, strict=True)]
        assert same == [version != taken for version in range(4)]


class Chain(nn.Module):
    """The chain of chapter 6's program, as the package's search wants it."""

    def __init__(self, start: dict[str, nn.Module]) -> None:
        super().__init__()
        self.stem, self.blocks, self.linear = start["stem"], start["blocks"], start["linear"]
        self.space = SimpleNamespace(blocks=[SimpleNamespace(operations=1 + len(block)) for block in self.blocks])
        self.path: tuple[int, ...] = ()

    def choose(self, path: tuple[int, ...]) -> None:
        self.path = path

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block, operation in zip(self.blocks, self.path, strict=True):
            x = x + block[operation](x) if operation < len(block) else x
        return self.linear(x.mean((2, 3)))


def test_reinforce_is_the_package_s(monkeypatch: pytest.MonkeyPatch) -> None:
    program = run("06-proxylessnas", warm_up=10, steps=10)
    random, network = program["random"], Chain(program["start"])
    drawn = {"architectures", "path Search"}  # all else makes no difference here
    monkeypatch.setattr(seeds, "generator", lambda seed, name, step=0: random if name in drawn else torch.Generator())
    rows, width = program["judging"], program["width"]
    images, classes = program["inputs"][rows], program["classes"][rows]
    # Normalised already: pixels of [0, 255], of mean 0 and deviation 1 / 255, are what the network sees.
    held_out = Source(images, classes, classes, (0.0,), (1 / 255,))
    settings = dataclasses.replace(SETTINGS, data=dataclasses.replace(SETTINGS.data, region=12))
    chapter = dataclasses.replace(
        SETTINGS.proxylessnas,
        **{"update": "reinforce", "updates": 10, "delay": 10 / 20, "samples": 8, "judged_batch": 256, "side": 0},
        **{"architecture_rate": 0.05, "architecture_betas": (0.0, 0.999), "exponent": 0.1, "baseline_rate": 0.99},
    )
    row = (*(float(chain.macs([chain.Layer(width, width, kernel)], 6)) for kernel in program["kernels"]), 0.0)
    fixed = chain.macs([chain.Layer(1, width, 3, 2)], 12) + 10 * width
    costs = binarisation.Costs(fixed, (row,) * 3, fixed + 3 * sum(row) / len(row))
    search = binarisation.Search(network, held_out, costs, settings, chapter)
    for alpha in search.alphas:
        alpha.zero_()
    train(network, program, program["batches"], 20, search)
    assert program["alpha"].abs().max() > 0.1
    assert close(search.alphas, program["alpha"])
    assert search.baseline == pytest.approx(float(program["baseline"]), abs=TOLERANCE)
    assert close(
        network.parameters(),
        [*program["stem"].parameters(), *program["blocks"].parameters(), *program["linear"].parameters()],
    )


def test_pruning_net_is_the_package_s(monkeypatch: pytest.MonkeyPatch) -> None:
    program = run("09-pruning", steps=20)
    space = pruning.Space("program", 16, 3, 1, False, (1, 1), (16, 32), bottleneck=False)
    net, start, random = pruning_net.PruningNet(space, 10, 1), program["start"], program["random"]
    (one, two), (three, four) = net.blocks[0].main, net.blocks[1].main
    parts = {"stem": net.stem, "one": one, "two": two, "three": three, "four": four, "shortcut": net.blocks[1].shortcut}
    for name, part in parts.items():
        part.generator.load_state_dict(start[name].state_dict())
    net.linear.load_state_dict(start["linear"].state_dict())
    monkeypatch.setattr(seeds, "generator", lambda *_: random)
    draw = functools.partial(pruning.random_encoding, space)
    train(net, program, program["batches"], 20, supernets.RandomChoice(net, draw, 0))
    for name, part in parts.items():
        assert close(part.generator.parameters(), program[name].parameters())
    rows, net = program["judging"], net.train()
    for encoding in ((0, 30, 7), (13, 0, 30), (30, 30, 30)):
        net.choose(encoding)
        with torch.no_grad():
            assert close(net(program["inputs"][rows]), program["answers"](encoding, rows))
