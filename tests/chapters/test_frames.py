"""Images on their way out of noise: what is kept is what the synthesis passes through, and it fits into a page."""

import base64
import dataclasses
import io

import numpy as np
import pytest
import torch
from PIL import Image

from dfnas import profiles
from dfnas.chapters import frames, synthesis
from dfnas.data import sources, teachers
from dfnas.data.images import center_crop
from dfnas.data.sources import Source
from dfnas.synthesis import inversion, sets
from dfnas.training import evaluation

SETTINGS = profiles.load("smoke", 0, ["run.precision=fp32"])
SMALL = dataclasses.replace(
    SETTINGS.synthesis, batch=20, stages=((2, 3, "grow"), (1, 4, "grow")), learning_rates=(0.1, 0.1)
)


@pytest.fixture(scope="module")
def teacher():
    return teachers.load(SETTINGS)


@pytest.fixture(scope="module")
def found(teacher):
    terms = {"statistics": {"batch_norm_weight": 0.0}, "variation": {"total_variation_l2": 0.0}}
    return frames.frames(teacher, SMALL, terms, SETTINGS)


def opened(address):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))))


def test_the_last_frame_is_the_finished_image_and_the_first_is_noise(teacher, found):
    with inversion.Inversion(teacher, SMALL, SETTINGS.data, SETTINGS.run) as inverter:
        shard = sets.make_shard(inverter, 0, 0, None, SETTINGS.seed)
    finished = center_crop(shard.images, SETTINGS.data.region).numpy()
    sheet, side = opened(found["sheet"]), SETTINGS.data.region
    assert found["variants"] == [[], ["statistics"], ["variation"], ["statistics", "variation"]]
    assert sheet.shape == (4 * frames.SHOWN * side, len(found["iterations"]) * side)
    for image in range(frames.SHOWN):
        rows = slice(image * side, (image + 1) * side)
        assert (sheet[rows, -side:] == finished[image, 0]).all()
        assert (sheet[rows, :side] != finished[image, 0]).any()
    other = slice(frames.SHOWN * side, (frames.SHOWN + 1) * side)  # the same noise, and another way
    assert (sheet[other, :side] == sheet[:side, :side]).all()
    assert (sheet[other, -side:] != sheet[:side, -side:]).any()
    assert found["classes"] == shard.slot_class[: frames.SHOWN].tolist()
    assert found["terms"][0][-1] == pytest.approx(shard.terms[-1].tolist(), rel=1e-3)


def test_moments_begin_with_noise_end_with_the_image_and_come_once():
    assert frames.moments_of(7) == list(range(8))
    assert frames.moments_of(1000)[:3] == [0, 12, 34]
    assert len(frames.moments_of(1000)) == frames.FRAMES
    assert frames.moments_of(1000)[-1] == 1000


def test_a_sheet_is_without_loss_where_that_is_small_and_never_too_large():
    noise = np.random.default_rng(0).integers(0, 256, (4, 6, 20, 3, 32, 32), dtype=np.uint8)
    small = noise[:1, :1, :2]
    assert (opened(frames.sheet(small))[:, :32] == small[0, 0, 0].transpose(1, 2, 0)).all()
    whole = frames.sheet(noise)
    assert len(whole) <= frames.LIMIT
    assert whole.startswith("data:image/webp")
    assert opened(whole).shape == (4 * 6 * 32, 20 * 32, 3)


def test_frames_leave_the_keys_of_what_was_there_alone(monkeypatch, tmp_path):
    monkeypatch.setenv("DFNAS_RUNS", str(tmp_path))
    monkeypatch.setattr(frames, "FRAMES", 5)
    from dfnas.runtime import stages

    keys = stages.keys(lambda: synthesis.compute(SETTINGS))
    monkeypatch.setattr(synthesis, "TERMS", dict(list(synthesis.TERMS.items())[:1]))
    others = stages.keys(lambda: synthesis.compute(SETTINGS))
    assert {name for name in keys if keys[name] != others[name]} == {"synthesis-frames"}


def images(values):
    pixels = torch.tensor(values, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 16, 16)
    classes = torch.arange(len(values)) % 2
    return Source(pixels, classes, classes, (0.5,), (0.25,))


def test_neighbours_are_the_nearest_in_the_features_and_never_the_image_itself(monkeypatch, teacher):
    def features(teacher, images, run):  # a turn by the grey level
        angle = images[:, 0, 0, 0].float() / 100
        return torch.stack([angle.cos(), angle.sin()], 1)

    monkeypatch.setattr(evaluation, "features", features)
    monkeypatch.setattr(sources, "balanced", lambda classes, *rest: torch.arange(len(classes)))
    first, real = images([10, 200, 14, 190, 90, 100]), images([0, 11, 250, 100])
    rows = synthesis.neighbours(teacher, SETTINGS, {"synthetic": first, "real": real}, each=2)
    (label, groups, words), _ = rows
    assert label == "0"
    assert groups["image"].flatten().unique().tolist() == [10]
    assert groups["nearest synthetic"][:, 0, 0, 0].tolist() == [14, 90]
    assert groups["nearest real"][:, 0, 0, 0].tolist() == [11, 0]
    assert words["nearest real"] == ["1", "0"]


def test_features_are_what_the_last_linear_layer_reads(teacher):
    pixels = torch.randint(0, 256, (3, 1, 16, 16), dtype=torch.uint8)
    features = evaluation.features(teacher, pixels, SETTINGS.run)
    linear = [layer for layer in teacher.network.modules() if isinstance(layer, torch.nn.Linear)][-1]
    assert torch.allclose(linear(features), evaluation.answers(teacher, pixels, SETTINGS.run), atol=1e-5)


def test_the_first_images_of_each_class_come_whole_and_in_order():
    part = images([1, 2, 3, 4, 5, 6])
    shown, classes = sources.first_of_each(part, SETTINGS, count=2)
    assert shown[:, 0, 0, 0].tolist() == [1, 3, 2, 4]
    assert classes.tolist() == [0, 0, 1, 1]
