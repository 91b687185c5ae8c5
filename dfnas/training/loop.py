"""The one training loop, with schedules, weight averaging, checkpoints and evaluation."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from dfnas.data.sources import Sample
from dfnas.errors import UserError, reason
from dfnas.profiles import RunSettings, TrainingSettings
from dfnas.runtime import devices, distributed, seeds, stages
from dfnas.runtime.files import write_checkpoint, write_json, write_tensors
from dfnas.runtime.progress import bar
from dfnas.training import board
from dfnas.training.losses import Loss

COMPILE_FROM = 2000  # steps: a shorter run ends before compiling has paid
CHECKPOINT = "checkpoint.pt"
READ_EVERY = 100  # steps between two reads of the loss: each read waits for the device


class Companion(Protocol):
    """What goes along with a training run: acts before each step, and is part of its checkpoints."""

    def before(self, step: int, steps: int, rate: float, optimiser: torch.optim.Optimizer) -> None: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class Stateless:
    """What a companion without a state of its own has in a checkpoint: nothing."""

    def state_dict(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to do."""


@dataclass
class History:
    """What a training run left behind, step by step: steps counted from 1, losses averaged since the last read."""

    step: list[int] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    side: list[int] = field(default_factory=list)
    evaluated_step: list[int] = field(default_factory=list)
    validation_accuracy: list[float] = field(default_factory=list)


@torch.random.fork_rng(devices=[])  # what layers draw leaves the caller's generator as it was
def train(
    network: nn.Module,
    sample: Sample,
    loss: Loss,
    settings: TrainingSettings,
    run: RunSettings,
    *,
    steps: int,
    side: int,
    folder: Path | None = None,
    evaluate: Callable[[nn.Module], float] | None = None,
    companion: Companion | None = None,
    seed: int = 0,
    description: str = "training",
) -> tuple[nn.Module, History]:
    """Train `network` for `steps` and return it (its average, where `settings.averaging` is set) with its history.

    Parameters
    ----------
    sample : gives the batch of a step, a pure function of it.
    side : side of the images at full size; `settings.resolutions` may start with smaller ones.
    folder : where checkpoints go; a killed run that finds one goes on with the same bits.
    evaluate : called about ten times, on the network that would be returned; its result is only recorded.
    companion : a search: draws the step's path, or updates the architecture parameters, before the weights move.
    seed : of what layers draw by themselves (dropout, drop-path); `sample` has its own.

    Several processes take a part of each batch each, with its own batch statistics; gradients and running statistics
    are averaged at every step, so that all processes hold the same network.
    """
    where = devices.device(run)
    network = devices.place(network, where).train()
    state = _State(network, settings, run.checkpoint_seconds, companion)
    if folder is not None:
        state.load(folder)
    objective: Callable = lambda inputs, targets: loss(network(inputs), targets)  # noqa: E731
    # Most searches change what a step computes, path by path: each path would be a program of its own.
    pays = steps >= COMPILE_FROM and companion is None
    step_loss = devices.compiled(objective, run) if pays else objective
    progress, saved = bar(total=steps, desc=description, unit="step"), time.perf_counter()
    progress.update(state.step)
    log = board.log(run, folder, description, state.step)
    for step in range(state.step, steps):
        torch.manual_seed(seeds.mixed(seed, "layers", step) + distributed.rank())
        rate = learning_rate(step, steps, settings)
        size = resolution(step / steps, side, settings)
        if companion is not None:
            companion.before(step, steps, rate, state.optimiser)
        inputs, targets = distributed.part(*sample(step, size))
        with devices.autocast(run, network):
            value = step_loss(inputs.to(where), targets.to(where))
        state.update(value, rate)
        progress.update()
        last = step + 1 == steps
        if last or (step + 1) % READ_EVERY == 0:
            state.read(rate, size, description)
            board.note(log, step + 1, loss=state.history.loss[-1], learning_rate=rate, side=size)
        if evaluate is not None and (last or (step + 1) % max(1, steps // 10) == 0):
            state.history.evaluated_step.append(step + 1)
            state.history.validation_accuracy.append(evaluate(state.averaged().eval()))
            board.note(log, step + 1, validation_accuracy=state.history.validation_accuracy[-1])
        if (
            folder is not None
            and distributed.rank() == 0
            and not last
            and time.perf_counter() - saved > state.seconds_between_saves
        ):
            state.save(folder)
            saved = time.perf_counter()
    progress.close()
    board.close(log)
    return state.averaged().eval(), state.history


def keep(folder: Path, network: nn.Module | None, history: History | None = None) -> None:
    """Write what a training leaves, model.safetensors and history.json, and remove its checkpoint."""
    if network is not None:
        # A copy of each: a module may stand under two names, and safetensors takes no shared memory.
        write_tensors(folder / "model.safetensors", {name: v.clone() for name, v in network.state_dict().items()})
    if history is not None:
        write_json(folder / "history.json", vars(history))
    (folder / CHECKPOINT).unlink(missing_ok=True)


def steps_of(settings: TrainingSettings, images: int) -> int:
    """Steps of a run: `settings.steps`, or `settings.epochs` over `images`."""
    return settings.steps or max(1, round(settings.epochs * images / settings.batch))


def learning_rate(step: int, steps: int, settings: TrainingSettings) -> float:
    """Linear warm-up, then a cosine or a line to the final rate; or a tenfold drop at each milestone."""
    warm = round(settings.warm_up * steps)
    if step < warm:
        return settings.learning_rate * (step + 1) / warm
    if settings.milestones:
        return settings.learning_rate * 0.1 ** sum(step / steps >= point for point in settings.milestones)
    done, end = (step - warm) / max(1, steps - warm), settings.final_learning_rate
    share = 1 - done if settings.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * done))
    return end + (settings.learning_rate - end) * share


def resolution(done: float, side: int, settings: TrainingSettings) -> int:
    """The side of the images when a fraction `done` of the steps is behind us."""
    for size, share in settings.resolutions:
        if done < share:
            return size
        done -= share
    return side


class _State:
    """Network, optimiser, average, position and history: all that a checkpoint holds."""

    def __init__(
        self,
        network: nn.Module,
        settings: TrainingSettings,
        seconds_between_saves: float,
        companion: Companion | None = None,
    ) -> None:
        self.network, self.settings, self.companion = network, settings, companion
        self.parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        self.optimiser = _optimiser(self.parameters, settings)
        self.values = [value for value in network.state_dict().values() if value.is_floating_point()]
        self.statistics = [values for values in network.buffers() if values.is_floating_point()]
        self.average = [value.clone() for value in self.values] if settings.averaging else []
        self.history, self.step = History(), 0
        self.total = torch.zeros((), device=self.parameters[0].device)
        self.since = 0
        self.seconds_between_saves = seconds_between_saves

    def update(self, loss: Tensor, rate: float) -> None:
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        distributed.mean_([values.grad for values in self.parameters if values.grad is not None] + self.statistics)
        if self.settings.clip_norm:
            nn.utils.clip_grad_norm_(self.parameters, self.settings.clip_norm)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.step()
        self.step += 1
        self.total += loss.detach()
        self.since += 1
        if self.average:
            # A young average must forget its start: the decay grows with the step.
            decay = min(self.settings.averaging, self.step / (self.step + 10))
            torch._foreach_lerp_(self.average, self.values, 1 - decay)

    def read(self, rate: float, side: int, description: str) -> None:
        distributed.mean_([self.total])
        loss = float(self.total) / self.since
        if not math.isfinite(loss):
            raise UserError(
                f"{description}: the loss is {loss} at step {self.step}, with learning rate {rate:.3g}: lower the "
                "learning_rate of its training, or limit its gradients (clip_norm=5)"
            )
        self.history.step.append(self.step)
        self.history.loss.append(loss)
        self.history.learning_rate.append(rate)
        self.history.side.append(side)
        self.total.zero_()
        self.since = 0

    def averaged(self) -> nn.Module:
        """A copy of the network that holds the average of its weights and statistics."""
        import copy

        network = copy.deepcopy(self.network)
        if self.average:
            values = [value for value in network.state_dict().values() if value.is_floating_point()]
            for value, mean in zip(values, self.average, strict=True):
                value.copy_(mean)
        return network

    def save(self, folder: Path) -> None:
        start = time.perf_counter()
        content: dict[str, Any] = {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "average": self.average,
            "total": self.total,
            "companion": self.companion.state_dict() if self.companion is not None else {},
            "position": {"step": self.step, "since": self.since, "history": vars(self.history)},
        }
        write_checkpoint(folder / CHECKPOINT, content)
        stages.save_time()
        self.seconds_between_saves = max(self.seconds_between_saves, 50 * (time.perf_counter() - start))

    def load(self, folder: Path) -> None:
        file = folder / CHECKPOINT
        if not file.exists():
            return
        try:
            content = torch.load(file, weights_only=True, map_location=self.total.device)
            self.network.load_state_dict(content["network"])
            self.optimiser.load_state_dict(content["optimiser"])
            for value, saved in zip(self.average, content["average"], strict=True):
                value.copy_(saved)
            self.total.copy_(content["total"])
            if self.companion is not None:
                self.companion.load_state_dict(content["companion"])
            self.step, self.since = content["position"]["step"], content["position"]["since"]
            self.history = History(**content["position"]["history"])
        except Exception as error:  # torch raises many kinds on damaged files
            raise UserError(f"{file} is damaged ({reason(error)}): delete it, and the training starts anew") from None


def _optimiser(parameters: list[nn.Parameter], settings: TrainingSettings) -> torch.optim.Optimizer:
    groups = _groups(parameters, settings)
    common: dict[str, Any] = {"lr": settings.learning_rate, "weight_decay": settings.weight_decay, "fused": True}
    if settings.optimiser == "adam":
        return torch.optim.Adam(groups, betas=(settings.momentum, 0.999), **common)
    nesterov = settings.nesterov and settings.momentum > 0
    optimiser = torch.optim.SGD(groups, momentum=settings.momentum, nesterov=nesterov, **common)
    if settings.momentum:
        # The fused optimiser takes all buffers or none, and a supernet's paths get their first gradients in turn.
        for parameter in parameters:
            optimiser.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimiser


def _groups(parameters: list[nn.Parameter], settings: TrainingSettings) -> list[dict[str, Any]]:
    """Parameter groups of the optimiser: biases and batch norms apart where weight decay must not act on them."""
    if settings.decay_vectors:
        return [{"params": parameters}]
    matrices = [parameter for parameter in parameters if parameter.dim() > 1]
    vectors = [parameter for parameter in parameters if parameter.dim() <= 1]
    return [{"params": matrices}, {"params": vectors, "weight_decay": 0.0}]
