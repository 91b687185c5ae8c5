"""A network as files that others can use: weights with its text form, source of its own, torch.export, ONNX."""

import io
import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils.benchmark import Timer

from dfnas import models
from dfnas.errors import UserError
from dfnas.models import cost, source_code
from dfnas.runtime import machine
from dfnas.runtime.files import replacing, write_json, write_tensors, write_text

BATCHES = (1, 32)  # images at once, of which latency is told
README = """A network made by dfnas: {architecture}

It takes images of {channels} x {side} x {side}, pixels in [0, 1], normalised channel by channel as (pixel - mean) / std
with mean {mean} and std {std},
and gives {classes} logits, in this order: {names}.

In PyTorch, without dfnas:

    from architecture import build
    from safetensors.torch import load_file

    network = build().eval()
    network.load_state_dict(load_file("{stem}.safetensors"))

{stem}.safetensors  {weights}
{stem}.pt2          the same for torch.export.load(...).module(), any number of images
{stem}.onnx         the same for ONNX: images -> logits
{stem}.json         all of this page for programs, with size and latency
architecture.py     the network as plain torch modules; needs torch alone
architecture.txt    the network as dfnas reads it: dfnas.models.build(text, {classes}, {channels})
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


def write(folder: Path, stem: str, text: str, weights: dict[str, Tensor] | None, facts: dict[str, Any]) -> None:
    """Every file of a network, under the name `stem`, and a README.txt that says what they are.

    `text` is its architecture; `weights` may hold more than it needs, None: a fresh network's. `facts` are classes,
    channels, side, mean, std and names of the classes.
    """
    network = models.build(text, facts["classes"], facts["channels"], 0).eval()
    if weights is not None:
        network.load_state_dict({name: weights[name] for name in network.state_dict()})
    shape = (facts["channels"], facts["side"], facts["side"])
    facts = {**facts, "weights": "trained" if weights is not None else "fresh weights: it was not trained"}
    save(folder / f"{stem}.safetensors", text, network.state_dict(), facts)
    write_text(folder / "architecture.txt", text + "\n")
    write_text(folder / "architecture.py", _source(network, shape, text, facts["classes"]))
    translate(network, shape, folder, stem)
    facts |= {"architecture": text, "parameters": cost.parameters(network), "macs": cost.macs(network, shape)}
    facts["bytes"] = {file.name: file.stat().st_size for file in sorted(folder.glob(f"{stem}.*"))}
    write_json(folder / f"{stem}.json", facts | _latency(network, shape))
    listed = {"names": ", ".join(facts["names"]), "mean": tuple(facts["mean"]), "std": tuple(facts["std"])}
    write_text(folder / "README.txt", README.format(stem=stem, **facts | listed))


def _source(network: nn.Module, shape: tuple[int, int, int], text: str, classes: int) -> str:
    """The network's source; of those of torchvision that cannot be traced, the line that builds them."""
    try:
        return source_code.write(network, shape, f"The network {text}.")
    except UserError:
        if not text.startswith("torchvision:"):
            raise
        name = text.removeprefix("torchvision:")
        call = f"torchvision.models.get_model({name!r}, weights=None, num_classes={classes})"
        return f"import torchvision\n\n\ndef build():\n    return {call}\n"


@torch.no_grad()
def _latency(network: nn.Module, shape: tuple[int, int, int]) -> dict[str, Any]:
    """Median milliseconds on this machine's processor, by the number of images at once, and what it is."""
    times = {}
    for batch in BATCHES:
        timer = Timer("network(images)", globals={"network": network, "images": torch.zeros(batch, *shape)})
        times[batch] = round(1000 * timer.blocked_autorange(min_run_time=0.1).median, 4)
    return {"latency_ms": times, "latency_threads": 1, "machine": machine.description()}
