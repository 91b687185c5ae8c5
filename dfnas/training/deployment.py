"""A network as files that others can use: weights with its text form, source of its own, torch.export, ONNX."""

import functools
import io
import json
import statistics
import timeit
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from dfnas import models
from dfnas.errors import UserError
from dfnas.models import cost, source_code
from dfnas.runtime import machine
from dfnas.runtime.files import replacing, write_json, write_tensors, write_text

BATCHES = (1, 32)  # images at once, of which latency is told
LIBRARIES = {  # what builds a network of theirs: its name, classes, channels
    "torchvision": "torchvision.models.get_model({0!r}, weights=None, num_classes={1})",
    "timm": "timm.create_model({0!r}, num_classes={1}, in_chans={2})",
}
README = """A network made by dfnas: {architecture}

It takes images of {channels} x {side} x {side}, pixels in [0, 1], normalised channel by channel as (pixel - mean) / std
with mean {mean} and std {std},
and gives {classes} logits, in this order: {names}.

In PyTorch, without dfnas:

    from architecture import build
    from safetensors.torch import load_file

    network = build().eval()
    network.load_state_dict(load_file("{stem}.safetensors"))

It has {parameters:,} parameters and takes {macs:,} multiply-adds an image. Where it was made ({machine[cpu]}, one
thread) an image took {latency_ms[1]} ms, and 32 at once took {latency_ms[32]} ms.

{stem}.safetensors: the weights
{stem}.pt2: weights and network for torch.export.load(...).module(), any number of images
{stem}.onnx: the same for ONNX, images -> logits
{stem}.json: all that this page says, for programs
architecture.py: the network as plain torch modules, which need torch alone
architecture.txt: the network as dfnas reads it, dfnas.models.build(text, {classes}, {channels})
architecture.svg: the network drawn, where a search found it
"""


def save(path: Path, text: str, weights: dict[str, Tensor], facts: dict[str, Any]) -> None:
    """Weights and what it takes to build their network, in one safetensors file.

    `text` is the architecture as `models.build` reads it; `facts` (JSON values) must have `classes` and `channels`.
    """
    write_tensors(path, weights, {"architecture": text, "card": json.dumps(facts)})


def card(path: Path | str) -> dict[str, Any]:
    """What a file of `save` says of its network: architecture, classes, channels and the other facts.

    Raises
    ------
    UserError : a file that is missing, or that `save` did not write.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        return {"architecture": metadata["architecture"], **json.loads(metadata["card"])}
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise UserError(f"{path} holds no network with its architecture: {str(error) or 'no such file'}") from None


def load(path: Path | str) -> nn.Module:
    """The network of a file of `save`, in eval mode; UserError where there is none."""
    facts = card(path)
    network = models.build(facts["architecture"], facts["classes"], facts["channels"])
    network.load_state_dict(load_file(path))
    return network.eval()


def translate(network: nn.Module, shape: Sequence[int], folder: Path, stem: str) -> None:
    """Write `stem`.pt2 (torch.export) and `stem`.onnx; both take any number of normalised images of `shape`."""
    network, example = network.eval(), torch.zeros(2, *shape)
    batch = torch.export.Dim("batch", min=1)
    program = torch.export.export(network, (example,), dynamic_shapes=({0: batch},))
    archive = io.BytesIO()  # on a full disk torch's own writer ends the process
    torch.export.save(program, archive)
    with replacing(folder / f"{stem}.pt2") as temporary:
        temporary.write_bytes(archive.getbuffer())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's own deprecated calls
        onnx = torch.onnx.export(program, dynamo=True, verbose=False, input_names=["images"], output_names=["logits"])
    assert onnx is not None
    onnx.save(folder / f"{stem}.onnx", external_data=False)


def write(folder: Path, stem: str, text: str, weights: dict[str, Tensor], facts: dict[str, Any]) -> None:
    """Every file of a network, under the name `stem`, and a README.txt that says what they are.

    `text` is its architecture; `weights` may hold more than it needs. `facts` are classes, channels, side, mean, std
    and names of the classes.
    """
    network = models.build(text, facts["classes"], facts["channels"], 0).eval()
    network.load_state_dict({name: weights[name] for name in network.state_dict()})
    shape = (facts["channels"], facts["side"], facts["side"])
    save(folder / f"{stem}.safetensors", text, network.state_dict(), facts)
    write_text(folder / "architecture.txt", text + "\n")
    write_text(folder / "architecture.py", _source(network, shape, text, facts["classes"]))
    translate(network, shape, folder, stem)
    facts = facts | {"architecture": text, "parameters": cost.parameters(network), "macs": cost.macs(network, shape)}
    facts["bytes"] = {file.name: file.stat().st_size for file in sorted(folder.glob(f"{stem}.*"))}
    facts |= {"latency_ms": _latency(network, shape), "machine": machine.description()}
    write_json(folder / f"{stem}.json", facts)
    write_text(folder / "README.txt", README.format(**facts | {"stem": stem, "names": ", ".join(facts["names"])}))


def _source(network: nn.Module, shape: tuple[int, int, int], text: str, classes: int) -> str:
    """The network's source; of those of a library that cannot be traced, the line that builds them."""
    try:
        return source_code.write(network, shape, f"The network {text}.")
    except UserError:
        library, _, name = text.partition(":")
        if library not in LIBRARIES:
            raise
        return f"import {library}\n\n\ndef build():\n    return {LIBRARIES[library].format(name, classes, shape[0])}\n"


@torch.no_grad()
def _latency(network: nn.Module, shape: tuple[int, int, int]) -> dict[int, float]:
    """Median milliseconds on one thread of this machine's processor, by the number of images at once."""
    threads, found = torch.get_num_threads(), {}
    torch.set_num_threads(1)
    try:
        for batch in BATCHES:  # torch's own timer would warn, in a notebook, of a CUDA compiler without a GPU
            seconds = timeit.repeat(functools.partial(network, torch.zeros(batch, *shape)), number=1, repeat=15)
            found[batch] = round(1000 * statistics.median(seconds), 3)
    finally:
        torch.set_num_threads(threads)
    return found
