"""What people hand over as images: each kind is read right, or refused in one line that names it."""

import io
import multiprocessing
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from image_sets import write
from PIL import Image

from dfnas import profiles
from dfnas.data import cifar10, folder, image_files, imagenet, splits
from dfnas.data import real as real_data
from dfnas.errors import UserError
from dfnas.profiles import DataSettings

CIFAR = profiles.DataSettings("cifar10", channels=3, classes=10, region=32, canvas=40, validation=1)
SETTINGS = DataSettings("imagenet", channels=3, classes=2, region=8, canvas=8, images_per_class=9, validation=1)
GREY = np.arange(64, dtype=np.uint8).reshape(8, 8)


def encoded(image: Image.Image | np.ndarray, form: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, form, **options)
    return buffer.getvalue()


def orientation(number: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = number
    return exif


def picture(value: int, side: int = 8) -> bytes:
    return encoded(np.full((side, side, 3), value, np.uint8))


def tree(**changes: bytes | None) -> dict[str, bytes]:
    """Two classes, three training and two validation images of each; of the changes None takes a file away."""
    names = [f"{split}/{kind}/{k}.png" for split, n in (("train", 3), ("val", 2)) for kind in "ab" for k in range(n)]
    files = {name: picture(number) for number, name in enumerate(names)} | changes
    return {name: content for name, content in files.items() if content is not None}


def cifar(side: int = 32, count: int = 2, root: str = "") -> dict[str, bytes]:
    return {
        f"{root}{split}/{name}/{k}.png": picture(20 * number + k + 5 * (split == "test"), side)
        for split in ("train", "test")
        for number, name in enumerate(splits.CIFAR10_CLASSES)
        for k in range(count)
    }


@pytest.fixture(autouse=True)
def _runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DFNAS_RUNS", str(tmp_path / "runs"))


MODES = {
    "8-bit grey": (encoded(GREY), GREY),
    "16-bit grey": (encoded(GREY.astype(np.uint16) * 257 + 100), GREY),
    "16-bit grey, rounded": (encoded(GREY.astype(np.uint16) * 257 + 200), GREY + 1),
    "16-bit TIFF, little-endian": (encoded(GREY.astype(np.uint16) * 257, "TIFF"), GREY),
    "RGB": (encoded(np.stack([GREY] * 3, 2)), GREY),
    "grey with alpha": (encoded(np.stack([GREY, GREY], 2)), GREY),
    "RGBA": (encoded(np.stack([GREY, GREY, GREY, 255 - GREY], 2)), GREY),
    "palette": (encoded(Image.fromarray(GREY).convert("P")), GREY),
    "palette with transparency": (encoded(Image.fromarray(GREY).convert("P"), transparency=3), GREY),
    "GIF": (encoded(GREY, "GIF"), GREY),
    "one bit": (encoded(Image.fromarray(GREY > 31)), (GREY > 31) * 255),
    "CMYK": (encoded(Image.fromarray(np.stack([0 * GREY] * 3 + [255 - GREY], 2), "CMYK"), "TIFF"), GREY),
    "BMP": (encoded(GREY, "BMP"), GREY),
    "lossless WebP": (encoded(np.stack([GREY] * 3, 2), "WEBP", lossless=True), GREY),
    "turned by EXIF": (encoded(np.rot90(GREY), exif=orientation(6)), GREY),
    "mirrored by EXIF": (encoded(GREY[:, ::-1], exif=orientation(2)), GREY),
    "two frames": (encoded(GREY, "TIFF", save_all=True, append_images=[Image.fromarray(0 * GREY)]), GREY),
}


@pytest.mark.parametrize("kind", MODES)
def test_an_image_of_any_kind_is_read_as_8_bits(kind: str) -> None:
    content, expected = MODES[kind]
    for mode in ("RGB", "L"):
        shown = image_files.square(image_files.picture(io.BytesIO(content), "x", mode), 8, 8)
        assert shown.shape == (3 if mode == "RGB" else 1, 8, 8)
        assert all(np.abs(channel.numpy().astype(int) - expected).max() == 0 for channel in shown)


REFUSED = {
    "32-bit": (encoded(GREY.astype(np.int32), "TIFF"), "mode I"),
    "16-bit PGM, which Pillow reads as 32-bit": (b"P5 8 8 65535\n" + bytes(128), "mode I"),
    "float": (encoded(GREY.astype(np.float32), "TIFF"), "mode F"),
    "empty": (b"", "no image"),
    "text": (b"a,b\n", "no image"),
    "HTML": (b"<html>404</html>", "no image"),
    "SVG": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no image"),
    "PNG cut short": (
        encoded(np.random.default_rng(0).integers(256, size=(40, 40, 3), dtype=np.uint8))[:900],
        "cannot",
    ),
    "JPEG cut short": (encoded(np.zeros((99, 99, 3), np.uint8), "JPEG")[:640], "truncated"),
    "PNG with a flipped byte": (picture(7)[:40] + b"\xff" + picture(7)[41:], "cannot"),
    "signature alone": (b"\x89PNG\r\n\x1a\n", "cannot"),
    "a pointer of Git LFS": (b"version https://git-lfs.github.com/spec/v1\n", "no image"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_whole_image_is_refused_by_its_name(kind: str) -> None:
    content, words = REFUSED[kind]
    with pytest.raises(UserError, match=f"x.png.*{words}") as caught:
        image_files.picture(io.BytesIO(content), "x.png")
    assert "\n" not in str(caught.value)


def test_a_wide_picture_is_cut_before_it_is_scaled() -> None:
    """A million pixels by one, scaled whole to a canvas of 224, would take 150 GB."""
    line = Image.new("RGB", (1_000_000, 1), (9, 9, 9))
    assert (image_files.square(line, 224, 224) == 9).all()


UNDERSTOOD: dict[str, dict[str, bytes]] = {
    "as it is": tree(),
    "a folder above": {f"my set/{name}": content for name, content in tree().items()},
    "two folders above": {f"x/y/{name}": content for name, content in tree().items()},
    "other names of splits": {
        name.replace("train", "Training").replace("val", "validation"): content for name, content in tree().items()
    },
    "test in place of val": {name.replace("val", "test"): content for name, content in tree().items()},
    "macOS": tree(**{"__MACOSX/train/a/._0.png": b"x", "train/a/._0.png": b"x", "train/.DS_Store": b"x"}),
    "Windows": tree(**{"train/a/Thumbs.db": b"x", "val/b/desktop.ini": b"x", "val/$RECYCLE.BIN/x.png": b""}),
    "Jupyter": tree(**{"train/.ipynb_checkpoints/0.png": b"x", "val/a/.ipynb_checkpoints/1-checkpoint.png": b"x"}),
    "a server's thumbnails": tree(**{"train/a/@eaDir/0.png": b"x", "train/@eaDir/x": b"x"}),
    "papers beside": tree(**{"README.md": b"x", "train/labels.csv": b"x", "extra/x.png": b"x", "LICENSE/x": b""}),
    "deeper": {name.replace("/a/", "/a/2024/"): content for name, content in tree().items()},
    "Tiny-ImageNet's": {
        **{f"train/{k}/images/{n}.png": tree()[f"train/{k}/{n}.png"] for k in "ab" for n in range(3)},
        **{f"train/{k}/{k}_boxes.txt": b"0 0 1 1" for k in "ab"},
        **{f"val/images/{k}{n}.png": tree()[f"val/{k}/{n}.png"] for k in "ab" for n in range(2)},
        "val/val_annotations.txt": b"".join(b"%c%d.png\t%c\t0\t0\t1\t1\r\n" % (k, n, k) for k in b"ab" for n in (0, 1)),
        "test/images/0.png": picture(99),
        "wnids.txt": b"a\nb\n",
    },
}


@pytest.mark.parametrize("form", UNDERSTOOD)
@pytest.mark.parametrize("kind", ["folder", "images.zip"])
def test_a_form_is_understood(form: str, kind: str, tmp_path: Path) -> None:
    where = write(tmp_path / kind, UNDERSTOOD[form])
    train, judge = (
        folder.parts(where).values() if form[0] != "T" else (folder.parts(where)[k] for k in ("train", "val"))
    )
    shown = [folder.decoded(where, part, ("a", "b"), 8)[0][:, 0, 0, 0].tolist() for part in (train, judge)]
    if len(shown[0]) < len(shown[1]):
        shown.reverse()
    assert shown == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9]]


def test_a_zip_of_windows_and_names_of_any_script(tmp_path: Path) -> None:
    files = {name.replace("/a/", "/été/").replace("/b/", "/猫/").replace("/", "\\"): c for name, c in tree().items()}
    parts = folder.parts(write(tmp_path / "images.zip", files))
    assert {split: sorted(part) for split, part in parts.items()} == {key: ["été", "猫"] for key in ("train", "val")}
    decomposed = {name.replace("/a/", "/e\u0301/").replace("train/b", "train/é"): c for name, c in tree().items()}
    assert list(folder.parts(write(tmp_path / "mac", decomposed))["train"]) == ["é"]


NAMED: dict[str, tuple[dict[str, bytes], str]] = {
    "an image of none": (tree(**{"val/a/0.png": b""}), "val/a/0.png.*no image"),
    "a table among images": (tree(**{"train/a/labels.csv": b"0,1"}), "train/a/labels.csv.*no image"),
    "an archive among images": (tree(**{"train/b/more.zip": b"PK"}), "train/b/more.zip.*no image"),
    "an empty class": (tree(**{"val/a/0.png": None, "val/a/1.png": None, "val/a/": b""}), "val/a has no images"),
    "a class that is missing in val": (tree(**{"val/b/0.png": None, "val/b/1.png": None}), "val/b has no images"),
    "a class that is missing in train": (tree(**{"val/c/0.png": picture(1)}), "val/c is none of the classes"),
    "another class": (tree(**{"train/c/0.png": picture(1)}), "3 class folders.*2 classes"),
    "too few images": (tree(**{"train/a/0.png": None, "train/a/1.png": None}), "train/a has 1 images, and needs 2"),
    "flat val": (tree(**{"val/0.JPEG": picture(1)}), "val/0.JPEG.*no class folder"),
    "flat train": ({"train/0.png": picture(1)}, "train/0.png.*no class folder"),
    "no split": ({f"{kind}/0.png": picture(1) for kind in "ab"}, "no images.*train/<class>"),
    "nothing": ({"README": b""}, "no images"),
    "empty folders": ({"train/a/": b"", "val/a/": b""}, "no images"),
    "no train": ({name: c for name, c in tree().items() if name[0] == "v"}, "no images in train/"),
    "no val": ({name: c for name, c in tree().items() if name[0] == "t"}, "no images in val/"),
    "an old copy": (tree(**{f"old copy/{name}": c for name, c in tree().items()}), "more than one set.*old copy/train"),
    "two names of a split": (tree(**{"validation/a/0.png": picture(1)}), "more than one set.*val, validation"),
    "two cases of a split": (tree(**{"Train/a/0.png": picture(1)}), "more than one set.*Train"),
    "splits apart": ({"x/train/a/0.png": b"", "y/val/a/0.png": b""}, "more than one set.*x/train, y/val"),
    "a table without a line": (
        UNDERSTOOD["Tiny-ImageNet's"] | {"val/images/new.png": picture(1)},
        "val_annotations.txt.*new.png",
    ),
    "a table that is none": (UNDERSTOOD["Tiny-ImageNet's"] | {"val/val_annotations.txt": b"\xff\0"}, "no class for a0"),
}


@pytest.mark.parametrize("kind", NAMED)
def test_what_is_wrong_is_named(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files, words = NAMED[kind]
    monkeypatch.setenv("DFNAS_DATA", str(write(tmp_path / "set", files)))
    with pytest.raises(UserError, match=words) as caught:
        imagenet.load(SETTINGS)
    assert "\n" not in str(caught.value)


CIFAR10: dict[str, tuple[dict[str, bytes], str]] = {
    "another size": (cifar() | {"test/cat/1.png": picture(1, 16)}, "test/cat/1.png.*16x16 pixels.*32x32"),
    "another class": (cifar() | {"train/car/0.png": picture(1, 32)}, "train/car is none of the classes.*airplane"),
    "a class that is missing": (
        {name: content for name, content in cifar().items() if "test/dog" not in name},
        "test/dog has no images",
    ),
    "no test": ({name: content for name, content in cifar().items() if "test" not in name}, "test/airplane has no"),
    "as many as are held out": (
        {name: content for name, content in cifar().items() if name != "train/frog/0.png"},
        "train/frog has 1 images, and 1 of a class are held out: lower data.validation",
    ),
    "an old copy": (cifar(root="cifar/") | cifar(root="cifar/old copy/"), "more than one set.*cifar/old copy/train"),
    "torchvision's in a zip": ({f"x/{name}": b"" for name in cifar10.FILES}, "no images in"),
}


@pytest.mark.parametrize("kind", CIFAR10)
@pytest.mark.parametrize("where", ["folder", "images.zip"])
def test_what_is_wrong_with_cifar10_is_named(
    kind: str, where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, words = CIFAR10[kind]
    monkeypatch.setenv("DFNAS_DATA", str(write(tmp_path / where, files)))
    with pytest.raises(UserError, match=words):
        real_data.load(CIFAR)
    assert not list(tmp_path.rglob("*.tmp"))


def flip(content: bytes) -> bytes:
    middle = content.index(b"IDAT") + 6
    return content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]


def encrypted(content: bytes) -> bytes:
    """With the bit that says so in every header."""
    content = bytearray(content)
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = content.find(mark)
        while place >= 0:
            content[place + offset] |= 1
            place = content.find(mark, place + 1)
    return bytes(content)


DAMAGED: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "cut short": (lambda content: content[:-40], "neither a folder nor a whole zip"),
    "a tenth of it": (lambda content: content[: len(content) // 10], "neither a folder nor a whole zip"),
    "empty": (lambda content: b"", "neither a folder nor a whole zip"),
    "a tar": (lambda content: b"data_batch_1".ljust(257, b"\0") + b"ustar".ljust(999, b"\0"), "neither a folder nor"),
    "a page": (lambda content: b"<html>", "neither a folder nor a whole zip.*train/<class>"),
    "a flipped byte": (flip, "train/airplane/0.png.*cannot be read.*CRC"),
    "a password": (encrypted, "train/airplane/0.png.*cannot be read.*password"),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_zip_is_one_line(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    where = write(tmp_path / "images.zip", cifar())
    damage, words = DAMAGED[kind]
    where.write_bytes(damage(where.read_bytes()))
    monkeypatch.setenv("DFNAS_DATA", str(where))
    with pytest.raises(UserError, match=words) as caught:
        real_data.digest(CIFAR)
    assert "\n" not in str(caught.value)
    assert "--help" not in str(caught.value)


def test_a_damaged_file_of_the_cache_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DFNAS_DATA", str(write(tmp_path / "set", cifar())))
    file = cifar10.decoded_file(tmp_path / "set")
    file.write_bytes(file.read_bytes()[:99])
    for call in (real_data.load, real_data.digest):
        with pytest.raises(UserError, match="delete it and run again"):
            call(CIFAR)


@pytest.mark.parametrize("missing", [*cifar10.FILES, ""])
def test_an_incomplete_or_damaged_torchvision_folder_is_named(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, {name: pickle.dumps({"data": 0}) for name in cifar10.FILES if name != missing})
    for where in (tmp_path, tmp_path / cifar10.BATCHES):
        monkeypatch.setenv("DFNAS_DATA", str(where))
        with pytest.raises(UserError, match=f"lacks {missing}" if missing else "a file is damaged") as caught:
            real_data.load(CIFAR)
        assert "download=True" not in str(caught.value)


CHANGES: dict[str, Callable[[Path], object]] = {
    "an image, in place": lambda where: (where / "train/cat/0.png").write_bytes(picture(255, 32)),
    "an image of the same size and second": lambda where: black(where / "train/cat/0.png"),
    "one more": lambda where: (where / "train/cat/9.png").write_bytes(picture(255, 32)),
    "one less": lambda where: (where / "test/cat/1.png").unlink(),
    "another class": lambda where: (where / "train/cat/0.png").rename(where / "train/dog/0a.png"),
}


def black(file: Path) -> None:
    """The same file size, and a time that is later by a microsecond."""
    size, time = file.stat().st_size, file.stat().st_mtime_ns
    file.write_bytes(picture(0, 32).ljust(size, b"\0"))
    assert file.stat().st_size == size
    os.utime(file, ns=(time, time + 1000))


@pytest.mark.parametrize("kind", CHANGES)
def test_a_changed_folder_is_another_data_set(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    where = write(tmp_path / "set", cifar(count=3))
    monkeypatch.setenv("DFNAS_DATA", str(where))
    before, imagenet_before = real_data.digest(CIFAR), imagenet.digest()
    assert real_data.digest(CIFAR) == before
    (where / "notes.txt").write_text("x", encoding="utf-8")
    (where / "train" / ".DS_Store").write_text("x", encoding="utf-8")
    assert (real_data.digest(CIFAR), imagenet.digest()) == (before, imagenet_before)
    CHANGES[kind](where)
    assert real_data.digest(CIFAR) != before
    assert imagenet.digest() != imagenet_before


def test_a_copied_folder_is_the_same_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digests = []
    for name in ("set", "copy", "set.zip"):
        monkeypatch.setenv("DFNAS_DATA", str(write(tmp_path / name, cifar())))
        digests.append(real_data.digest(CIFAR))
    assert len(set(digests)) == 1


def test_copies_between_splits_are_counted_by_content_and_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    files = cifar(count=3)
    files["test/ship/another name.png"] = encoded(Image.open(io.BytesIO(files["train/cat/0.png"])), compress_level=0)
    files["train/dog/2.png"] = files["train/dog/0.png"]  # the last one is held out
    monkeypatch.setenv("DFNAS_DATA", str(write(tmp_path / "set", files)))
    for _ in range(2):
        real_data.load(CIFAR)
    assert capsys.readouterr().err == "dfnas: 2 of 41 validation and test images lie in the train split too\n"
    monkeypatch.setenv("DFNAS_DATA", str(write(tmp_path / "clean", cifar(count=3))))
    real_data.load(CIFAR)
    assert capsys.readouterr().err == ""


def decode(where: Path, start: object) -> None:
    start.wait()  # type: ignore[attr-defined]
    cifar10.decoded_file(where)


def test_of_processes_that_start_at_once_one_decodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = cifar10._decoded

    def told(where: Path) -> object:
        with open(tmp_path / "told", "a", encoding="utf-8") as file:
            file.write("decoding\n")
        return made(where)

    monkeypatch.setattr(cifar10, "_decoded", told)
    where, context = write(tmp_path / "set", cifar(count=20)), multiprocessing.get_context("fork")
    barrier = context.Barrier(3)
    processes = [context.Process(target=decode, args=(where, barrier)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert (tmp_path / "told").read_text(encoding="utf-8") == "decoding\n"
    assert len(list((tmp_path / "runs" / "cache").glob("cifar10-*"))) == 1


def test_links_are_followed_and_a_link_to_nothing_or_in_a_circle_is_no_trap(tmp_path: Path) -> None:
    where = write(tmp_path / "set", tree())
    (where / "train" / "a").rename(tmp_path / "elsewhere")
    (where / "train" / "a").symlink_to(tmp_path / "elsewhere")
    (where / "train" / "b" / "up").symlink_to(where / "train" / "b")
    os.mkfifo(where / "train" / "b" / "pipe")
    parts = folder.parts(where)
    assert {kind: len(files) for kind, files in parts["train"].items()} == {"a": 3, "b": 3}
    (where / "train" / "b" / "9.png").symlink_to(tmp_path / "nowhere")
    parts = folder.parts(where)
    for call in (
        lambda: folder.decoded(where, parts["train"], ("a", "b"), 8),
        lambda: folder.stamp(where, folder.files(parts)),
    ):
        with pytest.raises(UserError, match="cannot be read"):
            call()
