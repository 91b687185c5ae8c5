"""The synthetic set: safetensors shards on disk, one a synthesis batch, and tensors in memory.

A shard holds `images` uint8 [N, C, S, S] in [0, 255], `logits` float16 [N, K] (the teacher's on the finished,
quantised image), `slot_class` int64 [N] and `terms` float32 [iterations, terms] (the objective as it went), with
round, batch index, seed and configuration digest as metadata. Nothing here knows how images are made.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from dfnas.errors import UserError


@dataclass(frozen=True)
class Shard:
    """One synthesis batch."""

    images: Tensor
    logits: Tensor
    slot_class: Tensor
    terms: Tensor
    round: int
    batch: int


@dataclass(frozen=True)
class SyntheticSet:
    """A set in memory: images uint8 [N, C, S, S], logits float16 [N, K], slot_class, round and slot int64 [N]."""

    images: Tensor
    logits: Tensor
    slot_class: Tensor
    round: Tensor
    slot: Tensor

    def __len__(self) -> int:
        return len(self.images)

    def of_round(self, number: int) -> "SyntheticSet":
        """The images of one round, in the order of their slots."""
        return self.select(self.round == (number if number >= 0 else int(self.round.max()) + 1 + number))

    def select(self, chosen: Tensor) -> "SyntheticSet":
        """A part of the set, by indices or by a mask."""
        return SyntheticSet(*(values[chosen] for values in vars(self).values()))


def shard_path(folder: Path, round_number: int, batch: int) -> Path:
    """Where the shard of a batch lies."""
    return folder / f"round-{round_number:02d}-batch-{batch:05d}.safetensors"


def write(folder: Path, shard: Shard, seed: int, configuration: str) -> None:
    """Write a shard under a temporary name and rename it: a killed run leaves whole shards alone."""
    path = shard_path(folder, shard.round, shard.batch)
    tensors = {name: getattr(shard, name).contiguous() for name in ("images", "logits", "slot_class", "terms")}
    facts = {"round": shard.round, "batch": shard.batch, "seed": seed, "configuration": configuration}
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    save_file(tensors, temporary, metadata={name: str(value) for name, value in facts.items()})
    os.replace(temporary, path)


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
        reason = str(error).splitlines()[0]
        raise UserError(
            f"shard {path} cannot be read ({reason}): delete it and run again, with --force if the set was finished"
        ) from None


def load(folder: Path) -> SyntheticSet:
    """All shards of a folder as one set, ordered by round and slot.

    Raises
    ------
    UserError
        No shards there, some missing, or one that cannot be read.
    """
    shards = [read(path) for path in sorted(folder.glob("round-*-batch-*.safetensors"))]
    if not shards:
        raise UserError(f"no synthetic set in {folder}: it has no shards")
    size, rounds = len(shards[0].images), {shard.round for shard in shards}
    if len(shards) != len(rounds) * (max(shard.batch for shard in shards) + 1):
        raise UserError(f"the synthetic set in {folder} lacks shards: run again with --force, it will be remade")
    return SyntheticSet(
        torch.cat([shard.images for shard in shards]),
        torch.cat([shard.logits for shard in shards]),
        torch.cat([shard.slot_class for shard in shards]),
        torch.cat([torch.full((len(shard.images),), shard.round) for shard in shards]),
        torch.cat([torch.arange(len(shard.images)) + shard.batch * size for shard in shards]),
    )


def terms(folder: Path) -> Tensor:
    """The objective's terms [rounds, iterations, terms], averaged over the batches of each round."""
    shards = [read(path) for path in sorted(folder.glob("round-*-batch-*.safetensors"))]
    rounds = sorted({shard.round for shard in shards})
    return torch.stack([torch.stack([shard.terms for shard in shards if shard.round == r]).mean(0) for r in rounds])


def digest(synthetic: SyntheticSet) -> str:
    """The digest of a set's bytes; its identity is the configuration, this is recorded beside it."""
    sha = hashlib.sha256()
    for values in (synthetic.images, synthetic.logits.view(torch.int16), synthetic.slot_class):
        sha.update(values.contiguous().numpy().tobytes())
    return sha.hexdigest()
