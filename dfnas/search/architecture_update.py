"""How differentiable searches move architecture parameters: in turn with the weights (DARTS paper, algorithm 1)."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor

from dfnas.models.darts_supernet import Supernet
from dfnas.models.nasbench import Mixture
from dfnas.profiles import DartsSettings, MixtureSettings
from dfnas.runtime import devices, distributed

KEEP_EVERY = 10  # steps between two snapshots of the architecture parameters


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
