"""Weights as people hand them over: what torch or safetensors wrote, laid into the network that it belongs to.

What a file is, its first bytes say and not its name. No code of a file is run.
"""

import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from dfnas.errors import UserError, note, reason

COUNTED = ("total_ops", "total_params", "num_batches_tracked")  # by profilers and by training: no network needs them
BESIDE = ("optim", "sched", "scaler", "callbacks", "loops")  # how entries begin that a training keeps for itself
AVERAGED = re.compile(r"(^|\.|_)(ema|shadow|averaged|swa)")  # the same network once more: the plain one is taken
HEAD = re.compile("fc|linear|classif|head|logits|output")
ALONE = "where it was trained, torch.save(network.state_dict(), 'weights.pt') writes the weights alone"
FOREIGN = {
    b"<": "is a web page: download the file itself (on GitHub 'raw', on Hugging Face 'resolve' in its address)",
    b"version https://git-lfs": "is a pointer of Git LFS and no weights: git lfs pull fetches them",
    b"{": "is text in JSON and no weights: give the file beside it (.safetensors, .pt, .pth, .bin)",
    b"\x89HDF": f"is of Keras (HDF5): bring its weights into the same network in PyTorch; {ALONE}",
    b"\x93NUMPY": f"is an array of numpy, without names: {ALONE}",
    b"GGUF": f"is quantised (GGUF): {ALONE}",
    **dict.fromkeys((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf", b"Rar!"), "is compressed: unpack it first"),
}


def read(path: Path) -> dict[str, Tensor]:
    """Every tensor of a file of weights, on the CPU, by its name behind those of the nests it lies in.

    Raises
    ------
    UserError
        No file of weights, or one that holds more than tensors and plain values: how to write it without.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch's old formats
            content = _content(path)
    except UserError:
        raise
    except PermissionError as error:
        raise UserError(f"the teacher at {path} cannot be read: {error.strerror or reason(error)}") from None
    except Exception as error:  # torch and safetensors raise many kinds
        raise UserError(f"the teacher at {path} {_trouble(path, error)}") from None
    tensors = dict(_flat(content)) if isinstance(content, Mapping) else {}
    if not tensors:
        kind = f"only {', '.join(map(str, content))[:80]}" if isinstance(content, Mapping) else type(content).__name__
        raise UserError(f"the teacher at {path} holds no tensors by name ({kind or 'nothing'}): {ALONE}")
    return tensors


def exported(path: Path) -> bool:
    """Whether torch.export wrote a file: it then holds a network, not weights alone."""
    names = zipfile.ZipFile(path).namelist() if zipfile.is_zipfile(path) else []
    return any(name.endswith(("/archive_format", "serialized_exported_program.json")) for name in names)


def _content(path: Path) -> Any:
    with path.open("rb") as file:
        head = file.read(512)
    if not head:
        raise UserError(f"the teacher at {path} is empty (0 bytes): a download or a copy broke off, fetch it again")
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size:
        return load_file(path)
    for start, what in FOREIGN.items():
        if head.lstrip().startswith(start):
            raise UserError(f"the teacher at {path} {what}")
    if head[257:262] == b"ustar":
        raise UserError(f"the teacher at {path} is a tar archive: unpack it first")
    if zipfile.is_zipfile(path):
        names = zipfile.ZipFile(path).namelist()
        if any(name.endswith("constants.pkl") for name in names):
            return torch.jit.load(path, map_location="cpu").state_dict()
        if not any(name.endswith("data.pkl") for name in names):
            raise UserError(
                f"the teacher at {path} is an archive (of {', '.join(names[:2])}): unpack it, give one file"
            )
        if wrong := zipfile.ZipFile(path).testzip():
            note(f"{path}: the checksum of {wrong} is wrong: the file is damaged, or was saved without checksums")
    with path.open("rb") as file:  # by its path, torch would go by the name
        return torch.load(file, weights_only=True, map_location="cpu")


def _trouble(path: Path, error: Exception) -> str:
    """What is wrong with a file that torch refuses: the classes that it asks for, or that it is damaged.

    torch's own words advise to switch its safety off.
    """
    try:
        refused = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:  # of the old format, or damaged
        refused = [word.strip("`'\".,") for word in str(error).partition("GLOBAL ")[2].split()[:1]]
    if refused:
        refused.sort(key=lambda name: (name.startswith(("torch.", "numpy", "_codecs", "builtins")), name))
        return f"holds more than tensors ({', '.join(refused[:3])}), and no code of a file is run: {ALONE}"
    with path.open("rb") as file:
        start = file.read(1)
    if start == b"\x80":
        return f"is damaged, or a pickle that torch did not write: {ALONE}"
    known = start == b"P" or path.suffix.lower() == ".safetensors"
    return "is damaged: a download or a copy broke off?" if known else "is nothing that torch or safetensors writes"


def _flat(content: Mapping, place: str = "", above: tuple[int, ...] = ()) -> Iterator[tuple[str, Tensor]]:
    for name, value in content.items() if id(content) not in above else ():
        if isinstance(value, Mapping) and not str(name).lower().startswith(BESIDE):
            yield from _flat(value, f"{place}{name}.", (*above, id(content)))
        elif isinstance(value, Tensor):
            yield f"{place}{name}".replace("_orig_mod.", ""), value


def fit(network: nn.Module, tensors: dict[str, Tensor], where: str, called: str) -> None:
    """Lay a file's tensors into a network, whatever stands before their names there or in the network.

    Nests (`state_dict`, `model`, Lightning's, ...), wrappers (`module.`, `_orig_mod.`) and what profilers add do not
    count. Where a file holds a network and its average, the network itself is taken.

    Raises
    ------
    UserError
        With the first tensor that is missing, left over and of another size; or where several networks fit.
    """
    wanted = {name: value for name, value in network.state_dict().items() if isinstance(value, Tensor)}
    found: dict[tuple[str, str], dict[str, Tensor]] = {}
    for names in (tensors, {name.replace(".module.", "."): value for name, value in tensors.items()}):
        found |= {start: _under(names, *start) for start in sorted(_starts(list(names), list(wanted)))}
    whole = {tuple(map(id, part.values())): start for start, part in found.items() if not _difference(wanted, part)}
    plain = [start for start in whole.values() if not AVERAGED.search(start[0])] or list(whole.values())
    if not plain:
        closest = max(found.values(), key=lambda part: sum(_alike(wanted[name], part.get(name)) for name in wanted))
        raise UserError(f"the teacher at {where} does not fit {called}: {_difference(wanted, closest)}")
    if len(plain) > 1:
        several = ", ".join(start or "the top" for start, _ in plain)
        raise UserError(f"the teacher at {where} holds several networks that fit (under {several}): keep one")
    if len(whole) > 1:
        note(f"{where}: took the network under {plain[0][0] or 'the top'!r}, and not its average")
    part = found[plain[0]]
    for name, value in wanted.items():
        given = part.get(name, value)
        if given.is_meta or (value.is_floating_point() and not given.is_floating_point()):
            kind = "no values" if given.is_meta else f"{given.dtype} values".removeprefix("torch.")
            raise UserError(f"the teacher at {where} has {kind} in {name}, and weights are floating-point: {ALONE}")
    try:
        network.load_state_dict(part, strict=False)
    except Exception as error:  # a network's own hooks may refuse too
        raise UserError(f"the teacher at {where} does not fit {called}: {reason(error)}") from None


def _starts(names: list[str], wanted: list[str]) -> set[tuple[str, str]]:
    """What may stand before the same names in a file and in a network: pairs, looked for by a few of the names."""
    pairs = {("", "")}
    for own in _shared(wanted):
        for name in {wanted[0], wanted[len(wanted) // 2], wanted[-1]} if wanted else ():
            end = name.removeprefix(own)
            pairs |= {(other.removesuffix(end), own) for other in names if f".{other}".endswith(f".{end}")}
    return pairs if len(pairs) > 1 else pairs | {(start, "") for start in _shared(names)}


def _shared(names: list[str]) -> Iterator[str]:
    """The beginnings, whole parts between dots, that all names have: "", "module.", ..."""
    parts = min(names, default="").split(".")
    for count in range(len(parts)):
        start = "".join(f"{part}." for part in parts[:count])
        if all(name.startswith(start) for name in names):
            yield start


def _under(tensors: dict[str, Tensor], start: str, own: str) -> dict[str, Tensor]:
    return {own + name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}


def _alike(value: Tensor, other: Tensor | None) -> bool:
    if other is None or nn.parameter.is_lazy(value):
        return other is not None
    return value.shape == other.shape or (value.numel() == other.numel() == 1 and max(value.dim(), other.dim()) == 1)


def _difference(wanted: dict[str, Tensor], part: dict[str, Tensor]) -> str:
    """In words, how a file's tensors differ from those of a network in names and sizes; "" where they do not."""
    missing = [name for name in wanted if name not in part and not name.endswith(COUNTED)]
    beside = [name for name in part if name not in wanted and not name.endswith(COUNTED)]
    sized = [name for name in wanted if name in part and not _alike(wanted[name], part[name])]
    words = []
    if missing:
        words.append(f"it lacks {len(missing)} of {len(wanted)} tensors ({missing[0]} first)")
    if beside:
        words.append(f"{len(beside)} of its own are left over ({beside[0]} first)")
    if sized:
        theirs, ours = ("x".join(map(str, values[sized[0]].shape)) or "1" for values in (part, wanted))
        words.append(f"{len(sized)} differ in size ({sized[0]} first: {theirs}, and not {ours})")
    last = _last(part)
    if words and last:
        words.append(f"its last layer ({last}) has {len(part[last])} classes")
    return "; ".join(words)


def classes(tensors: dict[str, Tensor], where: str) -> int:
    """How many classes the last layer of a file's tensors has; UserError where it cannot be told."""
    if last := _last(tensors):
        return len(tensors[last])
    raise UserError(f"the teacher at {where} has no last layer that tells its classes: name them, a line each")


def _last(tensors: dict[str, Tensor]) -> str:
    heads = [name for name, value in tensors.items() if sum(side != 1 for side in value.shape) == 2]
    return max(heads, key=lambda name: (bool(HEAD.search(name)), heads.index(name)), default="")
