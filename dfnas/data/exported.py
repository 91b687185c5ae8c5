"""Files of torch.export: networks without their code, whose batch norms are found in the graph."""

import contextlib
import operator
import os
import re
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import fx, nn

from dfnas.errors import UserError, reason

PLAIN = torch.ops.aten.batch_norm.default
WITHOUT_TRAINING = torch.ops.aten._native_batch_norm_legit_no_training.default  # what decompositions make of it
AGAIN = (
    "export it again, in eval mode and for any number of images: torch.export.export(network.eval(), (images,), "
    "dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))"
)


def read(path: Path) -> nn.Module:
    """The network of a .pt2 file, on the CPU, with a BatchNorm2d for each batch norm of its graph.

    What would have to be unpickled is refused. Formulas of sizes in the graph are still evaluated: such a file is to be
    trusted as a program is.

    Raises
    ------
    UserError
        A file that cannot be read, or whose batch norms cannot be found with their statistics.
    """
    try:
        if any(re.search("custom_obj|opaque_obj|aotinductor", name) for name in zipfile.ZipFile(path).namelist()):
            raise UserError("holds compiled code or objects, which are not run")
        with warnings.catch_warnings(), _no_pickles(), path.open("rb") as file:
            warnings.simplefilter("ignore")
            exported = torch.export.load(file).module(check_guards=False)
        network = fx.GraphModule(exported, exported.graph)  # one that has eval(), and moves
        _remember(network)
    except UserError as error:
        raise UserError(f"the teacher at {path} {error}: {AGAIN}") from None
    except Exception as error:  # torch raises many kinds
        raise UserError(f"the teacher at {path} cannot be read as torch.export's ({reason(error)}): {AGAIN}") from None
    return network.cpu()


@contextlib.contextmanager
def _no_pickles() -> Iterator[None]:
    """Inside, torch.load reads tensors and plain values alone, whoever calls it with whatever arguments."""
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        os.environ.pop(name)
        if before is not None:
            os.environ[name] = before


def _remember(network: fx.GraphModule) -> None:
    """Put a BatchNorm2d with its weights and statistics in the place of each batch norm of images in a graph."""
    found = [node for node in network.graph.nodes if "batch_norm" in str(node.target)]
    for number, node in enumerate(found):
        layer = _layer(network, node)
        network.add_submodule(f"batch_norm_{number}", layer)
        with network.graph.inserting_before(node):
            new = network.graph.call_module(f"batch_norm_{number}", (node.args[0],))
        for user in list(node.users) if node.target == WITHOUT_TRAINING else ():
            if user.target is not operator.getitem or user.args[1] != 0:
                raise UserError("keeps no batch norms as such")
            user.replace_all_uses_with(new)
            network.graph.erase_node(user)
        node.replace_all_uses_with(new)
        network.graph.erase_node(node)
    network.graph.eliminate_dead_code()
    network.delete_all_unused_submodules()
    network.recompile()


def _layer(network: fx.GraphModule, node: fx.Node) -> nn.Module:
    if node.target == PLAIN:
        values, (training, momentum, epsilon) = node.args[1:5], node.args[5:8]
    elif node.target == WITHOUT_TRAINING:
        values, training, (momentum, epsilon) = node.args[1:5], False, node.args[5:7]
    else:
        raise UserError(f"holds batch norms of a kind that is not known here ({node.target})")
    weight, bias, mean, variance = (_value(network, value) for value in values)
    if training or mean is None or variance is None:
        raise UserError("was exported in training mode")
    kind: Any = nn.BatchNorm2d if node.args[0].meta["val"].dim() == 4 else nn.BatchNorm1d  # type: ignore[union-attr]
    layer = kind(len(mean), epsilon, momentum, affine=weight is not None)
    with torch.no_grad():
        for own, theirs in ((layer.weight, weight), (layer.bias, bias)):
            if own is not None and theirs is not None:
                own.copy_(theirs)
        layer.running_mean, layer.running_var = mean.detach().clone(), variance.detach().clone()
    return layer.eval()


def _value(network: fx.GraphModule, node: Any) -> torch.Tensor | None:
    """The tensor that a node of the graph names, or none."""
    if node is None:
        return None
    if node.op != "get_attr":
        raise UserError("computes the statistics of its batch norms instead of keeping them")
    return operator.attrgetter(node.target)(network)
