"""What one takes away of a chapter: its set or its network as files, in a stage of its own and in a folder for others.

A chapter that has something to take away ends with the stage `export`, or with several, `export-<name>`; the command
`export` copies them.
"""

import json
import os
import shlex
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from safetensors.torch import load_file

from dfnas.data import image_folder, presence, synthetic
from dfnas.data import real as real_data
from dfnas.data.teachers import Teacher
from dfnas.errors import UserError
from dfnas.models import darts, mbconv, pruning, shufflenet
from dfnas.profiles import ScratchSettings, Settings
from dfnas.records import provenance
from dfnas.runtime import machine, paths, stages
from dfnas.runtime.artefacts import Artefact
from dfnas.runtime.files import write_json, write_text
from dfnas.search import scratch
from dfnas.training import deployment

if TYPE_CHECKING:
    from matplotlib.figure import Figure

VERSION = 1
MARK = "export.json"  # tells an exported folder from any other
SET = "set.json"
DATASET = '''"""The set as a torch Dataset: (image [{channels}, {side}, {side}], logits [{classes}], class)."""

from pathlib import Path

import torch
from safetensors.torch import load_file

shards = [load_file(path) for path in sorted(Path(__file__).parent.glob("shards/*.safetensors"))]
columns = [torch.cat([shard[name] for shard in shards]) for name in ("images", "logits", "slot_class")]
dataset = torch.utils.data.TensorDataset(*columns)
'''
README = """A synthetic set made by dfnas: images that a teacher was inverted into, with the teacher's answers.

shards/*.safetensors  images uint8 [N, {channels}, {side}, {side}], logits float16 [N, {classes}], slot_class int64 [N]
dataset.py            all of it as a torch Dataset: from dataset import dataset (needs torch and safetensors)
set.json              the classes in the order of the logits, and the normalisation

Beside these, `python -m dfnas export` writes

images/<class>/*.png  the same images without loss, as torchvision.datasets.ImageFolder reads them
labels.csv            the logits of each file, a column a class

The logits are what the teacher says of an image's central {region} x {region} pixels, in [0, 1] and normalised channel
by channel as (pixel - mean) / std with mean {mean} and std {std}.
Train on random crops of that size. A probability is the softmax of the logits; slot_class, and an image's folder, is
the class that its synthesis began from. ImageFolder numbers classes by the alphabet, the logits go by set.json.
"""


def set_stage(shards: Artefact, settings: Settings, teacher: Teacher) -> Artefact:
    """The stage that puts a synthetic set together for others: its shards, what reads them, and what they are."""
    data = settings.data
    facts = {"mean": teacher.mean, "std": teacher.std, "names": teacher.classes, "channels": data.channels}
    facts |= {"side": data.canvas, "region": data.region, "classes": data.classes}

    def work(folder: Path) -> None:
        write_text(folder / "README.txt", README.format(**facts))
        write_text(folder / "dataset.py", DATASET.format(**facts))
        write_json(folder / SET, facts)
        ignore = shutil.ignore_patterns("*.json")
        shutil.copytree(shards.folder, folder / "shards", ignore=ignore, copy_function=_link, dirs_exist_ok=True)

    return stages.stage("synthesis-export", work, facts, inputs=[shards, teacher.digest], version=VERSION)


def _link(path: str, to: str) -> None:
    """The same file under a second name where the disk can do that, else a copy."""
    Path(to).unlink(missing_ok=True)
    try:
        os.link(path, to)
    except OSError:
        shutil.copy(path, to)


def network_stage(
    chapter: str,
    stem: str,
    network: str | Artefact,
    trained: Artefact,
    settings: Settings,
    teacher: Teacher,
    side: int = 0,
    real: bool = False,
) -> Artefact:
    """The stage that writes a network as files that others can use, under the name `stem`.

    `network` is its architecture or the search that found it; `trained` has its weights. `side` is that of the images
    that it sees, 0: the region's; `real` says that it learned from real images, if there are any.
    """
    data, real = settings.data, real and presence.has_train(settings.data)
    facts: dict[str, Any] = {"classes": data.classes, "channels": data.channels, "names": teacher.classes}
    facts["side"] = side or data.region

    def work(folder: Path) -> None:
        text = network if isinstance(network, str) else scratch.read_architectures(network.folder)[0]
        weights = load_file(trained.folder / "model.safetensors")
        normal = real_data.load(data).train if real else teacher
        deployment.write(folder, stem, text, weights, facts | {"mean": normal.mean, "std": normal.std})
        figure = picture(text)
        if figure is not None:
            import matplotlib

            with matplotlib.rc_context({"svg.hashsalt": "dfnas"}):  # the same bytes each time
                figure.savefig(folder / "architecture.svg", bbox_inches="tight", metadata={"Date": None})

    depends = {"stem": stem, "real": real, **facts}
    inputs = [network, trained, teacher.digest]
    return stages.stage(f"{chapter}-export", work, depends, inputs=inputs, version=VERSION)


def find_stage(
    chapter: str, artefacts: dict[str, Artefact], judged: ScratchSettings, settings: Settings, teacher: Teacher
) -> Artefact:
    """`network_stage` for what the first search on the synthetic set found, with the weights of its first training."""
    first = f"synthetic-{settings.seed}"
    found, trained = artefacts[f"search-{first}"], artefacts[f"found-{first}-{settings.seed}"]
    return network_stage(chapter, "found", found, trained, settings, teacher, judged.side, real=True)


def picture(text: str) -> "Figure | None":
    """An architecture, drawn as its chapter draws it; None of a network that no search found."""
    from dfnas import figures  # imported late: a plan does without, and it takes a second

    kind = text.partition(":")[0]
    if kind == "darts":
        return figures.genotype(darts.from_text(text)[0])
    if kind == "spos":
        choices, space = shufflenet.from_text(text)
        return figures.chain({"found": choices}, _stages(space), shufflenet.CHOICES, "357x")
    if kind == "proxyless":
        choices, mobile = mbconv.from_text(text)
        return figures.chain({"found": choices}, _stages(mobile), mbconv.LABELS, mbconv.SYMBOLS)
    if kind == "pruned":
        encoding, full = pruning.from_text(text)
        return figures.widths({"pruned": pruning.widths(full, encoding)}, full.full_widths, full.names)
    return None


def _stages(space: shufflenet.Space | mbconv.Space) -> list[tuple[int, int, int]]:
    return list(zip(space.widths, space.strides, space.repeats, strict=True))


def command(verb: str, chapter: str, settings: Settings, *more: str) -> str:
    """The line that does something with a chapter under these settings."""
    words = [verb, chapter, "--profile", settings.argument]
    words += ["--seed", str(settings.seed)] * (settings.seed != 0)
    words += [word for override in settings.overrides for word in ("--set", override)]
    return f"python -m dfnas {shlex.join([*words, *more])}"


def line(export: Artefact, chapter: str, settings: Settings) -> str:
    """Where a chapter left its files, and how to get them."""
    where = export.folder.relative_to(paths.runs().parent)
    return f"files to take away: {where} (or {command('export', chapter, settings, '--to', 'FOLDER')})"


def collect(chapter: str, artefacts: dict[str, Artefact], settings: Settings, to: Path, force: bool = False) -> None:
    """Copy what a chapter left into a folder; of a synthetic set, PNG files and soft labels too. Nothing is computed.

    The folder is written under another name, which it loses at the end: an export that is stopped leaves no half of it.

    Raises
    ------
    UserError : a chapter without files or with stages to be made; a folder that holds something, or cannot be written.
    """
    found = {label.partition("-")[2]: each for label, each in artefacts.items() if label.startswith("export")}
    if not found:
        raise UserError(f"{chapter} leaves no files to take away; 00, 02, the searches, 09 and 10 do")
    if any(not (artefact.folder / "stage.json").exists() for artefact in artefacts.values()):
        raise UserError(f"{chapter} is not finished: run it first, with {command('run', chapter, settings)}")
    partial = to.parent / f".{to.name}.partial"
    try:
        if to.exists() and any(to.iterdir()) and not (force and (to / MARK).exists()):
            hint = "--force replaces it" if (to / MARK).exists() else "it is no export, so --force does not replace it"
            raise UserError(f"{to} holds something: name another folder ({hint})")
        shutil.rmtree(partial, ignore_errors=True)
        for name, export in found.items():
            _fill(partial / name, export)
        facts = {"chapter": chapter, "profile": settings.profile, "seed": settings.seed}
        facts |= {"overrides": settings.overrides, "stages": [export.key for export in found.values()]}
        write_json(partial / MARK, facts | {"commit": provenance.commit()[0], "versions": machine.versions()})
        shutil.rmtree(to, ignore_errors=True)
        os.replace(partial, to)
    except OSError as error:
        raise UserError(f"cannot write {to} ({error.strerror or error}): mend it and export again") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _fill(folder: Path, export: Artefact) -> None:
    shutil.copytree(export.folder, folder, ignore=shutil.ignore_patterns("stage.json", "sittings.json"))
    if (folder / SET).exists():
        given = SimpleNamespace(**json.loads((folder / SET).read_text(encoding="utf-8")))
        image_folder.write(folder, synthetic.load(folder / "shards", given), given.names)
