"""What people hand over, kind by kind: a table of inputs and of what comes out, right or one line that says why not.

Beside what stands with each module's own tests: here is what was tried once and went wrong, or might. TAKEN is taken;
any other outcome is what the one line says, with exit code 2 at the command line, and nothing is left half written.
"""

import io
import json
import os
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from image_sets import write
from PIL import Image
from safetensors.torch import load, save

from dfnas import __main__, models, profiles, records
from dfnas.chapters.proxylessnas import latency
from dfnas.data import image_files, teachers
from dfnas.data import real as real_data
from dfnas.errors import UserError
from dfnas.profiles import DataSettings
from dfnas.publishing import notebooks
from dfnas.runtime import paths, stages
from dfnas.search import tables
from dfnas.training import loop

TAKEN = ""
STATE = models.build("resnet5", 10, 1, 0).state_dict()
CARD = {"network": "resnet5", "classes": list("0123456789"), "channels": 1, "mean": [0.3], "std": [0.2]}
SMOKE = ["--profile", "smoke"]
DEEP = b"[" * 100_000


def torch_bytes(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def weights(change: Callable[[torch.Tensor], torch.Tensor], name: str = "linear.weight") -> bytes:
    return torch_bytes({key: change(value) if key == name else value for key, value in STATE.items()})


def renamed(change: Callable[[str], str]) -> bytes:
    return torch_bytes({change(name): value for name, value in STATE.items()})


def nested(depth: int) -> bytes:
    content: dict[str, Any] = dict(STATE)
    for _ in range(depth):
        content = {"model": content}
    return torch_bytes(content)


def in_itself() -> bytes:
    content: dict[str, Any] = dict(STATE)
    content["self"] = content
    return torch_bytes(content)


ALONE = r"torch\.save\(network\.state_dict\(\)"
WEIGHTS: dict[str, tuple[bytes, str]] = {
    "that hold themselves": (in_itself(), TAKEN),
    "four hundred nests deep": (nested(400), TAKEN),
    "of FSDP": (renamed(lambda name: f"_fsdp_wrapped_module.{name}"), TAKEN),
    "of PEFT": (renamed(lambda name: f"base_model.model.{name}"), TAKEN),
    "with a wrapper amid names": (renamed(lambda name: name.replace("layers.", "layers.module.")), TAKEN),
    "in bf16": (weights(torch.Tensor.bfloat16), TAKEN),
    "in fp8": (weights(lambda value: value.to(torch.float8_e4m3fn)), TAKEN),
    "complex": (weights(lambda value: value.to(torch.complex64)), f"complex64 values in linear.weight.*{ALONE}"),
    "a mask": (weights(lambda value: value > 0), "bool values in linear.weight"),
    "whole numbers": (weights(lambda value: (99 * value).to(torch.int8)), "int8 values in linear.weight"),
    "on no device": (weights(lambda value: value.to("meta")), "no values in linear.weight"),
    "sparse": (weights(torch.Tensor.to_sparse), "linear.weight"),
    "of no rows": (weights(lambda value: value[:0]), "linear.weight first: 0x32"),
    "numbered": (torch_bytes(dict(enumerate(STATE.values()))), r"lacks 32 of \d+ tensors \(conv.weight first"),
    "with slashes": (renamed(lambda name: name.replace(".", "/")), "conv/weight first"),
    "pruned by torch": (renamed(lambda name: name.replace("linear.weight", "linear.weight_orig")), "weight_orig first"),
    "in a list": (torch_bytes({"models": [STATE]}), "only models"),
    "an index of shards": (b'{"metadata": {}, "weight_map": {}}', "text in JSON"),
    "ONNX": (b"\x08\x07\x12\x07pytorch\x1a\x052.1.0" + bytes(300), "nothing that torch or safetensors writes"),
    "a PDF": (b"%PDF-1.7\n" + bytes(300), "nothing that torch or safetensors writes"),
    "a script": (b"#!/bin/sh\n", "nothing that torch or safetensors writes"),
    "a header of a terabyte": ((10**12).to_bytes(8, "little") + b"{" + bytes(99), "nothing that torch"),
    "safetensors of nothing": (save({}), "no tensors by name"),
}
CARDS: dict[str, tuple[Any, str]] = {
    "with a mark of bytes": (b"\xef\xbb\xbf" + json.dumps(CARD).encode(), TAKEN),
    "in UTF-16": (json.dumps(CARD).encode("utf-16"), TAKEN),
    "in Latin-1": (json.dumps(CARD | {"by": "é"}, ensure_ascii=False).encode("latin-1"), "holds no teacher"),
    "cut": (json.dumps(CARD)[:40].encode(), "holds no teacher"),
    "of brackets": (DEEP, "holds no teacher"),
    "null": (b"null", r"lacks network \(str\), classes \(list\), channels \(int\)"),
    "a number": (b"3", r"lacks network \(str\), classes \(list\), channels \(int\)"),
    "a list": (b"[1]", r"lacks network \(str\), classes \(list\), channels \(int\)"),
    "with the number of classes": (CARD | {"classes": 10}, r"lacks classes \(list\)"),
    "with channels in quotes": (CARD | {"channels": "1"}, r"lacks channels \(int\)"),
    "without a network": (CARD | {"network": None}, r"lacks network \(str\)"),
    "with a builder's number": (CARD | {"builder": 5}, r"lacks builder \(str\)"),
    "with a mean that is none": (CARD | {"mean": [None]}, "not of type tuple"),
    "with a mean in words": (CARD | {"mean": "0.3"}, "not of type tuple"),
    "with a mean that is not finite": (CARD | {"mean": [float("nan")]}, "must be from 0 to 1"),
}


def png(width: int, height: int, depth: int, kind: int, rows: bytes, extra: bytes = b"") -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    texts = chunk(b"zTXt", extra) if extra else b""
    parts = chunk(b"IHDR", head) + texts + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def grey(value: int = 9, side: int = 9) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((side, side), value, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


PICTURES: dict[str, tuple[bytes, str]] = {
    "one pixel": (grey(side=1), TAKEN),
    "colour of 16 bits": (png(1, 1, 16, 2, b"\0" + bytes([9, 9] * 3)), TAKEN),
    "grey of 16 bits with alpha": (png(1, 1, 16, 4, b"\0" + bytes([9, 9, 255, 255])), TAKEN),
    "followed by rubbish": (grey() + b"rubbish" * 99, TAKEN),
    "a bomb": (png(30_000, 30_000, 8, 0, b""), "exceeds limit"),
    "a bomb of words": (png(1, 1, 8, 0, b"\0\0", b"a\0\0" + zlib.compress(bytes(3_000_000))), "too large"),
    "a PGM of ten bits": (b"P5 8 8 1023\n" + bytes(128), "mode I"),
    "floats of PFM": (b"Pf\n8 8\n-1.0\n" + bytes(256), "mode F"),
    "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n8 scale\n", "cannot be read"),
    "HEIC": (b"\0\0\0\x18ftypheic" + bytes(100), "no image"),
    "of numpy": (b"\x93NUMPY\x01\0" + bytes(100), "no image"),
}
FILES = {
    f"{split}/{kind}/{number}.png": grey(20 * number + 9 * (kind == "b") + 99 * (split == "val"))
    for split in ("train", "val")
    for kind in "ab"
    for number in range(3)
}


def under(change: Callable[[str], str], name: str = "set") -> Callable[[Path], Path]:
    """A set whose files have other names."""
    return lambda where: write(where / name, {change(file): content for file, content in FILES.items()})


def strangely_packed(where: Path) -> Path:
    """A zip of a compression that nobody knows."""
    path = write(where / "set.zip", FILES)
    path.write_bytes(path.read_bytes().replace(b"\x14\0\0\0\0\0", b"\x14\0\0\0\x61\0"))
    return path


def latin_1(where: Path) -> Path:
    path = write(where / "set", FILES)
    for split in ("train", "val"):
        os.rename(path / split / "a", os.fsencode(path / split) + b"/\xe9")
    return path


def with_a_pipe(where: Path) -> Path:
    os.mkfifo(write(where / "set", FILES) / "train" / "a" / "pipe.png")
    return where / "set"


def at_home(where: Path) -> str:
    write(where / "set", FILES)
    return "~/set"


SETS: dict[str, tuple[Callable[[Path], Path | str], str]] = {
    "at home": (at_home, TAKEN),
    "with a slash behind": (lambda where: f"{write(where / 'set', FILES)}/", TAKEN),
    "with a pipe among images": (with_a_pipe, TAKEN),
    "a class that is called train": (under(lambda name: name.replace("/a/", "/train/")), TAKEN),
    "images without endings": (under(lambda name: name.removesuffix(".png")), TAKEN),
    "images with signs in their names": (under(lambda name: name.replace("/0.png", "/a b%20#?\t\n.png")), TAKEN),
    "a zip with names from the root": (under(lambda name: f"/{name}", "set.zip"), TAKEN),
    "a zip with dots before names": (under(lambda name: f"./{name}", "set.zip"), TAKEN),
    "a zip of an unknown compression": (strangely_packed, "train/a/0.png.*compression method"),
    "a zip of nothing": (lambda where: write(where / "set.zip", {}), "no images in"),
    "a class in Latin-1": (latin_1, r"class folder val/\\udce9: rename it"),
    "a class with a line's end": (under(lambda name: name.replace("/a/", "/a\n/")), r"class folder val/a\\n"),
    "classes in two cases": (under(lambda name: name.replace("val/a/", "val/A/")), r"3 classes \(A, a, b\)"),
    "classes above splits": (under(lambda name: "/".join(np.array(name.split("/"))[[1, 0, 2]])), "more than one set"),
    "the train folder alone": (
        lambda where: write(where / "set", FILES) / "train",
        "no images in.*train/<class>",
    ),
    "a notation beside its image": (
        lambda where: write(where / "set", FILES | {"train/a/0.xml": b"<a/>"}),
        "train/a/0.xml.*no image",
    ),
    "one image": (
        lambda where: write(where / "set", FILES) / "val/a/0.png",
        "neither a folder nor a whole zip",
    ),
    "a device": (lambda where: "/dev/null", "neither a folder nor a whole zip"),
    "an address": (lambda where: "https://host/set.zip", "no images at"),
    "in quotes": (lambda where: f'"{write(where / "set", FILES)}"', "no images at"),
}
PLACES: dict[str, tuple[Callable[[Path], str], str]] = {
    "a link to nothing": (lambda where: os.symlink("nothing", where / "link") or f"{where}/link", "no teacher at"),
    "a link to itself": (lambda where: os.symlink("link", where / "link") or f"{where}/link", "no teacher at"),
    "a pipe": (lambda where: os.mkfifo(where / "pipe") or f"{where}/pipe", "no teacher at"),
    "a device without end": (lambda where: "/dev/zero", "no teacher at /dev/zero"),
    "below a file": (lambda where: f"{write(where, {'file': b''})}/file/x", "no teacher at"),
    "a name of three hundred letters": (lambda where: "a" * 300, "no teacher at"),
    "of nobody's home": (lambda where: "~nobody-has-this-name/x", "no teacher at"),
    "an address": (lambda where: "https://host/weights.pth", "no teacher at"),
    "a folder of another library": (
        lambda where: str(write(where, {"config.json": b"{}"})),
        "holds no teacher",
    ),
}
NO_GROUP = r"no group of processes \(RANK=.*torchrun, or unset WORLD_SIZE"
RESULTS = ["compute", "12-results", *SMOKE]
STATUS = ["status", *SMOKE]
COMMANDS: dict[str, tuple[list[str], dict[str, str], str]] = {
    "runs in nobody's home": (STATUS, {"DFNAS_RUNS": "~nobody-has-this-name/runs"}, TAKEN),
    "runs in a folder with a space and an é": (RESULTS, {"DFNAS_RUNS": "@/my é"}, TAKEN),
    "runs in a file": (RESULTS, {"DFNAS_RUNS": "@/file"}, "set DFNAS_RUNS to a folder"),
    "runs in a device": (RESULTS, {"DFNAS_RUNS": "/dev/null"}, "set DFNAS_RUNS to a folder"),
    "a home that is not there": (STATUS, {"HOME": "/nothing/there"}, TAKEN),
    "no programs": (STATUS, {"PATH": ""}, TAKEN),
    "a group of words": (RESULTS, {"WORLD_SIZE": "two"}, NO_GROUP),
    "a group without a number": (RESULTS, {"WORLD_SIZE": "2"}, NO_GROUP),
    "a group without an address": (RESULTS, {"WORLD_SIZE": "2", "RANK": "0", "MASTER_PORT": "29500"}, NO_GROUP),
    "a member beyond the group": (
        RESULTS,
        {"WORLD_SIZE": "2", "RANK": "5", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"},
        NO_GROUP,
    ),
    "kernels of another name": (["compute", "02-synthesis", *SMOKE], {"DFNAS_KERNELS": "fast"}, "it may be auto"),
    "a device of another name": (["compute", "02-synthesis", *SMOKE], {"DFNAS_DEVICE": "gpu"}, "run.device='gpu'"),
    "data that are not there": ([*STATUS[:0], "run", *SMOKE, "--data", "~/nothing"], {}, "no data at ~/nothing"),
    "a seed of forty digits": ([*STATUS, "--seed", "9" * 40], {}, "seed must be"),
    "a seed in hexadecimal": ([*STATUS, "--seed", "0x1"], {}, "--seed"),
    "a chapter's number": (["compute", "02", *SMOKE], {}, "no chapter '02'"),
    "a chapter's notebook": (["run", "notebooks/02-synthesis.ipynb"], {}, "no chapter"),
    "no words at all": ([], {}, TAKEN),
    "a plan into a device": (["plan", "12-results", *SMOKE, "--out", "/dev/null"], {}, "/dev/null: a folder or a dev"),
    "a plan into a folder": (["plan", "12-results", *SMOKE, "--out", "@"], {}, "a folder or a device is there"),
    "a plan below a file": (["plan", "12-results", *SMOKE, "--out", "@/file/x"], {}, "name a folder that can be"),
    "a handout into a device": (["handout", "02-synthesis", "--out", "/dev/null"], {}, "name a folder that can be"),
    "a handout over a folder": (["handout", "02-synthesis", "--out", "@/a.ipynb"], {}, "is there already"),
    "a handout at home": (["handout", "02-synthesis", "--out", "~/mine.IPYNB"], {"HOME": "@"}, TAKEN),
    "a profile that is a folder": (["status", "--profile", "@/"], {}, "is no file"),
    "a profile of a long name": (["status", "--profile", "a" * 300 + ".toml"], {}, "no profile at"),
}
HEADER = "architecture,accuracy,macs,parameters\n"
TABLE = HEADER + "".join(
    f"{name},0.{5 + n},{n + 1}e6,9\n" for n, name in enumerate(("00000000", "01202110", "22222222"))
)
TABLES: dict[str, tuple[bytes, str]] = {
    "with carriage returns": (TABLE.replace("\n", "\r").encode(), TAKEN),
    "with empty lines": (TABLE.replace("\n", "\n\n").encode(), TAKEN),
    "with a mark of bytes": (b"\xef\xbb\xbf" + TABLE.encode(), TAKEN),
    "with more columns": (TABLE.replace("\n", ",x\n").encode(), TAKEN),
    "in UTF-16": (TABLE.encode("utf-16"), "no text file"),
    "of Excel": (b"PK\3\4" + bytes(50), "lacks architecture"),
    "with semicolons": (TABLE.replace(",", ";").encode(), "lacks architecture"),
    "with a short line": (TABLE.encode() + b"00000001,0.5\n", "line 5: .*must be numbers"),
    "with percents": (TABLE.replace("0.5", "50%").encode(), "line 2: .*must be numbers"),
    "without zeros at the start": (TABLE.replace("00000000", "0").encode(), "line 2: '0' is neither"),
    "with a quote that stays open": (TABLE.encode() + b'"00000001,0.5,1,1\n', "line 5"),
    "with infinite costs": (TABLE.replace("1e6", "inf").encode(), "line 2: .*not negative"),
}
OPERATOR = {"operators": {"stem": {"low": 1.0}}, "format": latency.FORMAT, "batch": 4}
LATENCIES: dict[str, tuple[Any, str]] = {
    "of brackets": (DEEP, "no latency table"),
    "null": (b"null", "no latency table"),
    "with words for times": (OPERATOR | {"operators": {"stem": {"low": "1.5"}}}, "no latency table"),
    "with times that are not finite": (OPERATOR | {"operators": {"stem": {"low": float("nan")}}}, "no latency table"),
    "with a list of operators": (OPERATOR | {"operators": [1]}, "no latency table"),
    "of infinite batches": (OPERATOR | {"batch": float("inf")}, "no latency table"),
    "of another network": (OPERATOR, "has no '"),
}


def take_weights(given: bytes, where: Path, patch: pytest.MonkeyPatch) -> None:
    (where / "weights.pt").write_bytes(given)
    taken = teachers.load(
        profiles.load("smoke", 0, [f"teacher.path={where / 'weights.pt'}", "teacher.network=resnet5"])
    )
    expected = load(save(STATE))  # another copy
    assert all(
        torch.allclose(value.float(), expected[name].float(), rtol=0.1, atol=0.01)
        for name, value in taken.network.state_dict().items()
    )


def take_card(given: Any, where: Path, patch: pytest.MonkeyPatch) -> None:
    write(
        where,
        {
            "card.json": given if isinstance(given, bytes) else json.dumps(given).encode(),
            "model.safetensors": save(STATE),
        },
    )
    assert teachers.load(profiles.load("smoke", 0, [f"teacher.path={where}"])).mean == (0.3,)


def take_place(given: Callable[[Path], str], where: Path, patch: pytest.MonkeyPatch) -> None:
    teachers.load(profiles.load("smoke", 0, [f"teacher.path={given(where)}"]))


def take_picture(given: bytes, where: Path, patch: pytest.MonkeyPatch) -> None:
    shown = image_files.square(image_files.picture(io.BytesIO(given), "it"), 8, 8)
    assert (shown == 9).all()


def take_set(given: Callable[[Path], Path | str], where: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("HOME", str(where))
    patch.setenv("DFNAS_DATA", str(given(where)))
    data = real_data.load(DataSettings("folder", channels=1, classes=2, region=8, canvas=8, validation=1))
    assert sorted(data.test.images[:, 0, 0, 0].tolist()) == sorted(
        99 + 20 * n + 9 * k for n in range(3) for k in range(2)
    )


def take_command(given: tuple[list[str], dict[str, str]], where: Path, patch: pytest.MonkeyPatch) -> None:
    """What a command says in its one line, as a UserError where its exit code is 2."""
    words, environment = given
    write(where, {"file": b"", "a.ipynb/x": b""})
    for name, value in environment.items():
        patch.setenv(name, value.replace("@", str(where)))
    patch.chdir(where)
    said = io.StringIO()
    patch.setattr(sys, "stderr", said)
    patch.setattr(sys, "argv", ["dfnas", *words])
    code = __main__.main([word.replace("@", str(where)) for word in words])
    assert code in (0, 2)
    if code:
        assert said.getvalue().startswith("dfnas: ")
        raise UserError(said.getvalue().removesuffix("\n"))


def take_table(given: bytes, where: Path, patch: pytest.MonkeyPatch) -> None:
    (where / "table.csv").write_bytes(given)
    assert [row[1] for row in tables.read(where / "table.csv").rows] == [0.5, 0.6, 0.7]


def take_latency(given: Any, where: Path, patch: pytest.MonkeyPatch) -> None:
    (where / "table.json").write_bytes(given if isinstance(given, bytes) else json.dumps(given).encode())
    latency.table(profiles.load("smoke", 0, [f"proxylessnas.latency_table={where / 'table.json'}"]))


KINDS: dict[str, tuple[Callable, dict[str, Any]]] = {
    "weights": (take_weights, WEIGHTS),
    "a card": (take_card, CARDS),
    "a teacher": (take_place, PLACES),
    "a picture": (take_picture, PICTURES),
    "a set": (take_set, SETS),
    "a command": (take_command, {name: (row[:2], row[2]) for name, row in COMMANDS.items()}),
    "a table": (take_table, TABLES),
    "latencies": (take_latency, LATENCIES),
}


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, (_, rows) in KINDS.items() for name in rows])
def test_what_comes_out(kind: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    take, rows = KINDS[kind]
    given, outcome = rows[name]
    (tmp_path / "here").mkdir()
    monkeypatch.setenv("DFNAS_RUNS", str(tmp_path / "runs"))
    devices = [os.stat(path).st_rdev for path in ("/dev/null", "/dev/zero")]
    if outcome == TAKEN:
        take(given, tmp_path / "here", monkeypatch)
    else:
        with pytest.raises(UserError, match=outcome) as caught:
            take(given, tmp_path / "here", monkeypatch)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 700
    assert not list(tmp_path.rglob("*.tmp"))
    assert [os.stat(path).st_rdev for path in ("/dev/null", "/dev/zero")] == devices


def test_weights_that_have_changed_on_their_way_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """torch itself does not compare checksums."""
    content, value = torch_bytes(STATE), STATE["linear.weight"].numpy().tobytes()
    place = content.index(value)
    (tmp_path / "weights.pt").write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    teachers.load(profiles.load("smoke", 0, [f"teacher.path={tmp_path / 'weights.pt'}", "teacher.network=resnet5"]))
    assert "weights.pt: the checksum of archive/data/" in capsys.readouterr().err


BROKEN = {
    "empty": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "brackets": lambda content: DEEP,
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_damaged_artefact_is_named_and_lost_seconds_are_no_harm(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DFNAS_RUNS", str(tmp_path))
    artefact = stages.stage("made", lambda folder: (folder / "x").write_bytes(b"x"), {})
    file = artefact.folder / "stage.json"
    file.write_bytes(BROKEN[how](file.read_bytes()))
    with pytest.raises(UserError, match=r"stage.json is damaged .*: delete its folder"):
        stages.stage("made", lambda folder: None, {})
    before = paths.make_folder(artefact.folder.with_name("slow-" + "0" * 12 + ".partial"))
    (before / "sittings.json").write_bytes(BROKEN[how](b'{"seconds": 1}'))
    assert stages._Sittings(before / "sittings.json").total()["seconds"] < 1

    def reads(folder: Path) -> None:
        (folder / "x.safetensors").write_bytes(BROKEN[how](save({"x": torch.ones(99)})))
        teachers.load_file(folder / "x.safetensors")

    with pytest.raises(UserError, match=r"stage reads stopped: a file that it reads is damaged .*--force"):
        stages.stage("reads", reads, {})


@pytest.mark.parametrize("how", BROKEN)
def test_a_damaged_record_is_none_and_a_damaged_notebook_one_line(how: str, tmp_path: Path) -> None:
    content = BROKEN[how](b'{"verdict": "good", "complete": true}')
    (tmp_path / "x.json").write_bytes(content)
    assert records.read(tmp_path / "x.json") is None
    for text in (content, b"[]", b'{"cells": "x", "nbformat": 4, "nbformat_minor": 5, "metadata": {}}'):
        (tmp_path / "x.ipynb").write_bytes(text)
        with pytest.raises(UserError, match="cannot read"):
            notebooks.read_notebook(tmp_path / "x.ipynb")


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    (tmp_path / loop.CHECKPOINT).write_bytes(torch_bytes({"network": STATE})[:-99])
    settings = profiles.load("smoke")
    with pytest.raises(UserError, match=rf"{loop.CHECKPOINT} is damaged .*: delete it"):
        loop.train(
            models.build("resnet5", 10, 1, 0),
            lambda step, side: (torch.zeros(2, 1, side, side), torch.zeros(2, dtype=torch.int64)),
            torch.nn.functional.cross_entropy,
            settings.student.training,
            settings.run,
            steps=1,
            side=16,
            folder=tmp_path,
        )
