"""What the processes of test_distributed.py do, under torchrun or alone: python tests/runtime/worker.py TASK FOLDER."""

import dataclasses
import functools
import json
import os
import shutil
import signal
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from dfnas import models, profiles
from dfnas.chapters import spos
from dfnas.chapters.consistency import experiment
from dfnas.data import synthetic, teachers
from dfnas.data.origins import Origin
from dfnas.data.sources import Source
from dfnas.models import darts_supernet, shufflenet
from dfnas.models.darts import Size
from dfnas.profiles import EvolutionSettings, RunSettings, TrainingSettings
from dfnas.runtime import distributed, seeds, stages
from dfnas.runtime.artefacts import Artefact
from dfnas.runtime.files import write_json
from dfnas.search import architecture_update, evolution, supernets
from dfnas.synthesis import sets
from dfnas.training import loop

SETTINGS = profiles.load("smoke")
SET = dataclasses.replace(
    SETTINGS.synthesis, images=240, batch=20, rounds=2, stages=((1, 3, "grow"),), learning_rates=(0.1,)
)
RUN = RunSettings(device="cpu", precision="fp32")
RECIPE = TrainingSettings(batch=8, learning_rate=0.05, clip_norm=5.0, warm_up=0.2)
STEPS = 20


def synthesise(folder: Path) -> None:
    """A set of six slot batches and two rounds; in `killed`, process 1 dies after its first shard."""
    write = synthetic.write

    def dying(*arguments):
        write(*arguments)
        (folder / f"made-by-{os.getpid()}").touch()
        if os.environ.get("RANK") == "1" and os.environ.get("TORCHELASTIC_RESTART_COUNT") == "0":
            os.kill(os.getpid(), signal.SIGKILL)

    if folder.name == "killed":
        synthetic.write = dying
    sets.synthesise(folder, teachers.load(SETTINGS), SET, SETTINGS.data, SETTINGS.run, 0)


class Halves(nn.Module):
    """A network that takes the two halves of a batch in turn, each with its own batch statistics."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.network(half) for half in inputs.chunk(2)])


def sample(step: int, side: int, name: str = "train") -> tuple[torch.Tensor, torch.Tensor]:
    """Eight images of noise and their classes."""
    random = seeds.generator(0, name, step)
    images = torch.randn(8, 1, 8, 8, dtype=torch.float64, generator=random)
    return images, torch.randint(10, (8,), generator=random)


def train(folder: Path, kind: str) -> None:
    """Twenty steps in float64; alone, the two halves in turn."""
    torch.manual_seed(0)
    companion = None
    if kind == "plain":
        network = models.build("resnet8x0.25", 10, 1)
    elif kind == "spos":
        space = shufflenet.Space(stem=4, stem_stride=1, widths=(8, 16), repeats=(1, 1), strides=(2, 2), tail=8)
        space = dataclasses.replace(space, dropout=0.0)
        network = shufflenet.Supernet(space, 10, 1, 0)
        companion = supernets.RandomChoice(network, functools.partial(shufflenet.random_choices, space), 0)
    else:
        network = darts_supernet.Supernet(Size(2, 3), 10, 1)
        network.alphas = [alpha.detach().double().requires_grad_() for alpha in network.alphas]
    network = network.double()
    whole = Halves(network) if distributed.world() == 1 else network

    def loss(inputs, targets):
        return nn.functional.cross_entropy(inputs, targets)

    if kind == "darts":
        chapter = dataclasses.replace(SETTINGS.darts, order="second", architecture_rate=0.05)
        companion = architecture_update.ArchitectureUpdate(
            network,
            lambda step: sample(step, 8),
            lambda step: sample(step, 8, "held out"),
            lambda inputs, targets: loss(whole(inputs), targets),
            chapter,
        )
    loop.train(whole, sample, loss, RECIPE, RUN, steps=STEPS, side=8, companion=companion)
    values = {name: value.contiguous() for name, value in network.named_parameters()}
    values |= {f"alphas.{index}": alpha for index, alpha in enumerate(getattr(network, "alphas", []))}
    if distributed.rank() == 0:
        save_file({name: value.detach().clone() for name, value in values.items()}, folder / f"{kind}.safetensors")


def search(folder: Path) -> None:
    """An evolution in a stage, with each process saying what it evaluated."""
    mine: list[tuple[int, ...]] = []

    def evaluate(candidate):
        mine.append(candidate)
        return float(sum(candidate)), float(candidate[0])

    def draw(generator):
        return tuple(torch.randint(9, (4,), generator=generator).tolist())

    problem = evolution.Problem(
        draw,
        lambda candidate, position, generator: int(torch.randint(9, (), generator=generator)),
        lambda candidate: candidate[1] != 3,
        evaluate,
    )
    settings = EvolutionSettings(population=7, generations=3, parents=3, mutations=3, crossovers=3)

    def work(here: Path) -> None:
        found = evolution.search(problem, settings, 0, here)
        write_json(here / "best.json", evolution.ranked(found)[0].candidate)

    os.environ["DFNAS_RUNS"] = str(folder)
    artefact = stages.stage("search", work, {})
    (folder / f"evaluated-{distributed.rank()}.json").write_text(
        json.dumps([mine, str(artefact.folder)]), encoding="utf-8"
    )


def judge(folder: Path) -> None:
    """Paths judged in a stage; in `resumed`, the first of them was judged before."""
    settings = profiles.load("smoke", 0, ["consistency.candidates=6", "run.precision=fp32"])
    random, classes = torch.Generator().manual_seed(0), torch.arange(200) % 10
    images = torch.randint(0, 256, (200, 1, 20, 20), generator=random, dtype=torch.uint8)
    logits = torch.randn(200, 10, generator=random)
    Origin.load = lambda *_: Source(images, logits, classes, (0.5,), (0.5,), "synthetic")
    weights = {name: value.contiguous() for name, value in spos.build_supernet(settings).state_dict().items()}
    kept = folder / f"supernet-{distributed.rank()}"
    kept.mkdir()
    save_file(weights, kept / "model.safetensors")
    supernet = Artefact("supernet", "", kept)

    def work(here: Path) -> None:
        before = folder / "before.jsonl"
        if before.exists():
            shutil.copy(before, here / experiment.LOG)
        teacher = teachers.load(settings)
        experiment.judge_all(here, Origin("synthetic", ""), supernet, settings, settings, settings.seed, teacher)
        if distributed.rank() == 0:
            shutil.copy(here / experiment.LOG, folder / "judged.jsonl")

    os.environ["DFNAS_RUNS"] = str(folder)
    stages.stage("judging", work, {})


if __name__ == "__main__":
    task, where = sys.argv[1], Path(sys.argv[2])
    where.mkdir(parents=True, exist_ok=True)
    with distributed.session("cpu"):
        if task == "synthesise":
            synthesise(where)
        elif task == "search":
            search(where)
        elif task == "judge":
            judge(where)
        else:
            for each in ("plain", "spos", "darts"):
                train(where, each)
