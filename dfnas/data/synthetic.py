"""The synthetic set on disk: safetensors shards, one a synthesis batch, which are read into a source.

A shard holds `images` uint8 [N, C, S, S] in [0, 255], `logits` float16 [N, K] (the teacher's on the finished,
quantised image), `slot_class` int64 [N] and `terms` float32 [iterations, terms] (the objective as it went), with
round, batch index, seed and configuration digest as metadata. Nothing here knows how images are made.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from dfnas.data.sources import Normalised, Source
from dfnas.errors import UserError, reason
from dfnas.runtime.files import write_tensors


@dataclass(frozen=True)
class Shard:
    """One synthesis batch."""

    images: Tensor
    logits: Tensor
    slot_class: Tensor
    terms: Tensor
    round: int
    batch: int


def shard_path(folder: Path, round_number: int, batch: int) -> Path:
    """Where the shard of a batch lies."""
    return folder / f"round-{round_number:02d}-batch-{batch:05d}.safetensors"


def write(folder: Path, shard: Shard, seed: int, configuration: str) -> None:
    """Write a shard under a temporary name and rename it: a killed run leaves whole shards alone."""
    path = shard_path(folder, shard.round, shard.batch)
    tensors = {name: getattr(shard, name).contiguous() for name in ("images", "logits", "slot_class", "terms")}
    facts = {"round": shard.round, "batch": shard.batch, "seed": seed, "configuration": configuration}
    write_tensors(path, tensors, {name: str(value) for name, value in facts.items()})


def read(path: Path) -> Shard:
    """Read a shard.

    Raises
    ------
    UserError
        The file is truncated or not a shard.
    """
    try:
        with safe_open(path, "pt") as file:
            facts = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in ("images", "logits", "slot_class", "terms")}
        return Shard(**tensors, round=int(facts["round"]), batch=int(facts["batch"]))
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise UserError(
            f"shard {path} cannot be read ({reason(error)}): "
            "delete it and run again, with --force if the set was finished"
        ) from None


def load(folder: Path, teacher: Normalised, rounds: str | int = "all", slots: int = 0) -> Source:
    """A set as a source, labelled with its stored logits and ordered by round and slot.

    Parameters
    ----------
    teacher : its normalisation is that of the images.
    rounds : all | first | last, or the number of one.
    slots : how many slots are taken, from the first on; 0: all.

    Raises
    ------
    UserError
        No shards there, some missing, or one that cannot be read.
    """
    shards = _shards(folder)
    numbers = sorted({shard.round for shard in shards})
    if rounds != "all":
        number = {"first": numbers[0], "last": numbers[-1]}.get(str(rounds), rounds)
        shards = [shard for shard in shards if shard.round == number]
        if not shards:
            raise UserError(f"the synthetic set in {folder} has no round {rounds}: it has {numbers}")
    size = len(shards[0].images)
    place = torch.cat([torch.arange(len(shard.images)) + shard.batch * size for shard in shards])
    images, logits, classes = (
        torch.cat([getattr(shard, name) for shard in shards]) for name in ("images", "logits", "slot_class")
    )
    source = Source(images, logits.float(), classes, teacher.mean, teacher.std, "synthetic")
    return source.select(place < slots) if slots else source


def _shards(folder: Path) -> list[Shard]:
    """All shards of a folder, by round and batch."""
    shards = [read(path) for path in sorted(folder.glob("round-*-batch-*.safetensors"))]
    if not shards:
        raise UserError(f"no synthetic set in {folder}: it has no shards")
    rounds = {shard.round for shard in shards}
    if len(shards) != len(rounds) * (max(shard.batch for shard in shards) + 1):
        raise UserError(f"the synthetic set in {folder} lacks shards: run again with --force, it will be remade")
    return shards


def terms(folder: Path) -> Tensor:
    """The objective's terms [rounds, iterations, terms], averaged over the batches of each round."""
    shards = _shards(folder)
    rounds = sorted({shard.round for shard in shards})
    return torch.stack([torch.stack([shard.terms for shard in shards if shard.round == r]).mean(0) for r in rounds])


def digest(folder: Path) -> str:
    """The digest of a set's bytes; its identity is the configuration, this is recorded beside it."""
    shards, sha = _shards(folder), hashlib.sha256()
    for name in ("images", "logits", "slot_class"):
        for shard in shards:
            sha.update(getattr(shard, name).contiguous().view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()
