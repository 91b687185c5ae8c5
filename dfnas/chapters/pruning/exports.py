"""A trained network as files that others can use: safetensors with its text form, torch.export, ONNX."""

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

from dfnas import models
from dfnas.errors import UserError
from dfnas.runtime.files import replacing, write_tensors


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
