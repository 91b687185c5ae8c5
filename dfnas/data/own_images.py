"""Images of one's own: train/<class>/*, val/<class>/* and test/<class>/* of any classes and sizes, or some of these.

They are decoded once, into the cache: the short side is scaled to the region, and the centre is cut out.
"""

import hashlib
from pathlib import Path

from torch import Tensor

from dfnas.data import folder, splits
from dfnas.data.splits import Dataset
from dfnas.profiles import DataSettings


def load(settings: DataSettings) -> Dataset:
    """The user's images, all in memory. What judges is test, or val where there is no test; train may be empty.

    Validation is val where both are there, else the last tenth of each class of train, `validation` images at most;
    without train it is what judges. Where `validation` is 0 none is held out, and what is watched is trained on too.

    Raises
    ------
    UserError
        As `folder.own`, or a file that is no image.
    """
    with folder.opened(decoded_file(settings)) as file:
        splits_there = file.metadata()["splits"].split()
        of = {
            split: [file.get_tensor(f"{split} {name}") for name in ("images", "labels", "prints")]
            for split in splits_there
        }
    judge = of.get("test") or of["val"]
    none = [tensor[:0] for tensor in judge]
    train, validation = of.get("train", none), of.get("val", judge)
    if "train" in of and not ("val" in of and "test" in of):
        held_out = splits.last_of_each(train[1], settings.validation or len(train[1]), part=10)
        validation = [tensor[held_out] for tensor in train]
        train = [tensor[~held_out] for tensor in train] if settings.validation else train
    if settings.validation:
        splits.tell_copies(train[2], validation[2], judge[2])
    watched, judged = (splits.shuffled(part[0], part[1]) for part in (validation, judge))
    return splits.dataset((train[0], train[1]), watched, judged, folder.class_names(settings))


def decoded_file(settings: DataSettings) -> Path:
    """The cache's file of the images at the settings' side, with the digest of images and labels as metadata."""
    where, found = folder.own(settings)
    names, side, channels = folder.class_names(settings), settings.region, settings.channels
    key = [where.resolve(), folder.stamp(where, folder.files(found)), names, side, channels, 1]

    def make() -> tuple[dict[str, Tensor], dict[str, str]]:
        tensors: dict[str, Tensor] = {}
        for split, part in found.items():
            images, labels = folder.decoded(where, part, names, side, channels)
            named = {"images": images, "labels": labels, "prints": splits.fingerprints(images)}
            tensors |= {f"{split} {name}": tensor for name, tensor in named.items()}
        shown = splits.tensors_digest([tensor for name, tensor in tensors.items() if not name.endswith("prints")])
        return tensors, {"digest": f"{' '.join(found)} {shown}", "splits": " ".join(found)}

    return folder.cached(f"folder-{hashlib.sha256(repr(key).encode()).hexdigest()[:12]}", make)
