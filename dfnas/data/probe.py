"""What a network computes, found out before it is used: its answers, the statistics that it keeps, its graph."""

import contextlib
import functools
import inspect
import re
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dfnas.errors import UserError, note, reason
from dfnas.models import norms
from dfnas.profiles import DataSettings
from dfnas.runtime import seeds

IMAGES = 4
SMALL = 64  # values of a constant that are read; of a larger one, which processors may compute differently, its shape
LIBRARIES = ("torch", "torchvision")
FLOAT = re.compile(r"-?\d+\.\d*(?:e[-+]?\d+)?|-?\d+e[-+]?\d+")


def examine(network: nn.Module, data: DataSettings, sides: Iterable[int], where: str) -> tuple[Tensor, int]:
    """A network's logits [N, K] of seeded images, and how many layers that remember statistics these reach.

    Images of the other `sides` are tried, too. A network with several answers gives its logits alone from then on.

    Raises
    ------
    UserError
        Weights or answers that are not finite, a forward pass that fails or differs each time, other classes.
    """
    _check_state(network, where)
    side, passes = data.region, functools.partial(_pass, network, where)
    images = torch.randn(IMAGES, data.channels, side, side, generator=seeds.generator(0, "probe"))
    outputs = passes(images)
    if not (isinstance(outputs, Tensor) and outputs.dim() == 2):
        kind = type(outputs).__name__
        network.register_forward_hook(functools.partial(_logits_alone, classes=data.classes))
        outputs = passes(images)
        note(f"the teacher at {where} answers with a {kind}: its logits are taken, {list(outputs.shape)}")
    with _reached(network) as layers:
        again = passes(images)
    if outputs.dim() != 2 or len(outputs) != IMAGES or passes(images[:1]).shape != outputs[:1].shape:
        shapes = f"{list(outputs.shape)} for {IMAGES} images, {list(passes(images[:1]).shape)} for one"
        raise UserError(f"the teacher at {where} answers {shapes}: it must answer [images, classes]")
    if outputs.shape[1] != data.classes:
        raise UserError(f"the teacher at {where} has {outputs.shape[1]} classes, and data.classes is {data.classes}")
    if not torch.isfinite(outputs).all():
        raise UserError(f"the teacher at {where} answers noise with values that are not finite: look at its weights")
    if not torch.allclose(outputs, again, atol=1e-3 * float(outputs.abs().max())):
        raise UserError(f"the teacher at {where} answers differently each time: is a dropout on that heeds no eval()?")
    heads = sum(isinstance(layer, nn.BatchNorm1d) for layer in network.modules())
    if heads and layers:
        note(
            f"the teacher at {where}: {heads} BatchNorm1d are left out, {len(layers)} batch norms of images are matched"
        )
    for other in sorted(set(sides) - {side}, reverse=True):
        asked = f" of side {other}, which synthesis.stages and synthesis.update ask for (of side {side} it does)"
        _pass(network, where, torch.zeros(2, data.channels, other, other), asked)
    return outputs, len(layers)


def classes(network: nn.Module, channels: int, side: int, where: str) -> int:
    """How many classes a network answers, which may answer other things too; its hooks are not as before."""
    network.eval().register_forward_hook(functools.partial(_logits_alone, classes=0))
    return _pass(network, where, torch.zeros(2, channels, side, side), f" {channels}x{side}x{side}").shape[-1]


def takes(network: nn.Module, channels: int, side: int) -> bool:
    """Whether a network answers images of a side."""
    try:
        return len(_pass(network, "", torch.zeros(2, channels, side, side))) == 2
    except UserError:
        return False


def _check_state(network: nn.Module, where: str) -> None:
    for name, value in network.state_dict().items():
        if not isinstance(value, Tensor):
            raise UserError(f"the teacher at {where} keeps {name}, which is no tensor: register it as a buffer")
        if not nn.parameter.is_lazy(value) and not torch.isfinite(value).all():
            count = int((~torch.isfinite(value)).sum())
            raise UserError(
                f"the teacher at {where} has {count} of {value.numel()} values in {name} that are not finite: "
                "its training diverged, or the file is damaged; take an earlier checkpoint"
            )


@torch.no_grad()
def _pass(network: nn.Module, where: str, images: Tensor, asked: str = "") -> Any:
    try:
        return network(images)
    except Exception as error:  # whatever a network of somebody else's raises
        asked = asked or f" {images.shape[1]}x{images.shape[2]}x{images.shape[3]}, as data.channels and data.region say"
        raise UserError(f"the teacher at {where} does not take images{asked}: {reason(error)}") from None


def _logits_alone(network: nn.Module, inputs: Any, outputs: Any, classes: int) -> Tensor:
    """A forward hook: the logits [N, K] among what a network answers, `logits` or the first tensor like them."""
    if isinstance(outputs, Tensor):
        alone = outputs.dim() > 2 and outputs.shape[2:].numel() == 1
        return outputs.flatten(1) if alone else outputs
    named = outputs.get("logits") if isinstance(outputs, Mapping) else getattr(outputs, "logits", None)
    values = outputs.values() if isinstance(outputs, Mapping) else outputs
    tensors = [value for value in values if isinstance(value, Tensor)] if named is None else [named]
    alike = [value for value in tensors if value.dim() == 2 and value.shape[1] == classes]
    if not tensors:
        raise ValueError("it answers with no tensor")
    return (alike or tensors)[0]


@contextlib.contextmanager
def _reached(network: nn.Module) -> Iterator[set[int]]:
    """The layers with statistics of images that passes reach, by id; a note of those that keep others."""
    found: set[int] = set()

    def hook(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if inputs[0].dim() == 4:
            found.add(id(layer))

    handles = [layer.register_forward_pre_hook(hook) for layer in norms.layers(network)]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def graph(network: nn.Module, data: DataSettings, builder: str = "") -> str:
    """The text of what a network computes, the same on all machines: its exported graph, or else its source.

    Of numbers six digits count: the same formula may differ in the last ones.
    """
    images = torch.zeros(2, data.channels, data.region, data.region)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            program = torch.export.export(network, (images,), strict=False)
    except Exception:  # of Python that depends on values, or anything that torch cannot follow
        return _source(network, builder)
    parts = [part for part in program.graph_module.modules() if isinstance(part, torch.fx.GraphModule)]
    constants = [f"{name}: {_constant(value)}" for name, value in sorted(program.constants.items())]
    text = "\n".join([*(str(part.graph) for part in parts), *constants])
    return FLOAT.sub(lambda number: f"{float(number[0]):.6g}", re.sub(r" at 0x\w+", "", text))


def _constant(value: Any) -> str:
    if not isinstance(value, Tensor):
        return type(value).__name__
    return str(value.tolist() if value.numel() <= SMALL else list(value.shape))


def _source(network: nn.Module, builder: str) -> str:
    """The files of the builder's module and of those that the classes of a network stand in, libraries left out."""
    names = {type(module).__module__ for module in network.modules()} | {builder}
    texts = []
    for name in sorted(name for name in names if name.partition(".")[0] not in LIBRARIES and name in sys.modules):
        with contextlib.suppress(OSError, TypeError):
            texts.append(Path(inspect.getsourcefile(sys.modules[name]) or "").read_text(encoding="utf-8"))
    return "\n".join([str(network), *texts])
