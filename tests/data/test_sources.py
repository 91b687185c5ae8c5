"""What a search learns from, how it is divided, and how batches are drawn from it."""

import dataclasses

import pytest
import torch

from dfnas import profiles
from dfnas.data import sources
from dfnas.data.images import cutout, to_input
from dfnas.data.sources import Source
from dfnas.errors import UserError
from dfnas.profiles import TrainingSettings
from dfnas.runtime import seeds
from dfnas.training import losses

SETTINGS = profiles.load("smoke")


def source(count=100, classes=10):
    labels = torch.arange(count) % classes
    images = torch.arange(count).byte()[:, None, None, None].expand(count, 1, 20, 20).contiguous()
    return Source(images, labels, labels, (0.5,), (0.25,), "real")


def test_both_halves_hold_every_class_in_its_share():
    weights, alphas = sources.split(source(), 50, 10, seed=0)
    for half in (weights, alphas):
        assert torch.bincount(half.classes).tolist() == [5] * 10
    together = torch.cat([weights.images[:, 0, 0, 0], alphas.images[:, 0, 0, 0]])
    assert sorted(together.tolist()) == list(range(100))


def test_halves_of_a_set_that_lies_sorted_by_class_are_not_cut_by_class():
    ordered = source().select(torch.arange(100) % 10 * 10 + torch.arange(100) // 10)
    ordered = ordered.select(ordered.classes.argsort())
    first, _ = sources.split(ordered, 50, 10, seed=0)
    assert len(first.classes.unique()) == 10


def of_counts(counts):
    """Images that are numbered, sorted by class."""
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    images = torch.arange(len(labels)).view(-1, 1, 1, 1)
    return Source(images, labels, labels, (0.5,), (0.25,), "real")


NOISE = [1, 0, 0, 477, 0, 1, 0, 0, 83, 38]  # of what quick's teacher takes noise for
ONE = [900, 12, 11, 11, 11, 11, 11, 11, 11, 11]  # 90 % of one class


@pytest.mark.parametrize("counts", [NOISE, ONE, [60] * 10, [7, 5, 3, 2], [1, 1, 1, 1]])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.7])
def test_rare_classes_lie_in_both_parts_in_their_share(counts, share):
    whole = of_counts(counts)
    held_out = round(share * len(whole))
    for seed in range(3):
        kept, held = sources.split(whole, held_out, len(counts), seed)
        assert len(held) == held_out
        assert sorted(torch.cat([kept.images, held.images]).flatten().tolist()) == list(range(len(whole)))
        found = held.classes.bincount(minlength=len(counts)).tolist()
        assert all(abs(part - share * count) < 1 for part, count in zip(found, counts, strict=True))


def test_a_class_of_one_image_lies_in_the_larger_part():
    for held_out, there in ((60, 0), (300, 0), (301, 1), (540, 1)):
        for seed in range(5):
            _, held = sources.split(of_counts(NOISE), held_out, 10, seed)
            assert held.classes.bincount(minlength=10)[[0, 5]].tolist() == [there, there]


def test_what_is_left_over_goes_to_classes_by_the_seed():
    """Half of four classes of five: two of them give a third image."""
    found = {tuple(sources.split(of_counts([5] * 4), 10, 4, seed)[1].classes.bincount().tolist()) for seed in range(20)}
    assert len(found) > 1
    assert all(sorted(counts) == [2, 2, 3, 3] for counts in found)


def test_parts_are_not_sorted_by_class():
    for part in sources.split(of_counts([50] * 4), 100, 4, 0):
        assert len(part.classes[:40].unique()) == 4


@pytest.mark.parametrize("held_out", [100, 101])
def test_as_many_held_out_as_there_are_leave_none_to_learn_from(held_out):
    with pytest.raises(UserError, match=f"{held_out} of the 100 images are to be held out"):
        sources.split(source(), held_out, 10, seed=0)


def test_another_seed_divides_otherwise():
    one, other = (sources.split(source(), 50, 10, seed)[0].images for seed in (0, 1))
    assert not torch.equal(one, other)


def test_a_part_keeps_images_labels_and_classes_together():
    whole = dataclasses.replace(source(), targets=torch.eye(100))
    rows = torch.tensor([7, 3, 50])
    for part in (whole.select(rows), whole.select(torch.isin(torch.arange(100), rows))):
        shown = part.images[:, 0, 0, 0]
        assert sorted(shown.tolist()) == [3, 7, 50]
        assert torch.equal(part.targets.argmax(1), shown.long())
        assert torch.equal(part.classes, shown.long() % 10)
        assert (len(part), part.mean, part.std, part.name) == (3, (0.5,), (0.25,), "real")


def test_labels_are_changed_and_the_images_and_classes_are_not():
    whole, logits = source(), torch.randn(100, 10)
    soft = whole.labelled(logits)
    assert (whole.soft, soft.soft, soft.hard().soft) == (False, True, False)
    assert torch.equal(soft.targets, logits)
    assert torch.equal(soft.classes, whole.classes)
    assert torch.equal(soft.hard().targets, whole.classes)
    assert soft.images is whole.images


def test_another_normalisation_is_taken_whole_and_a_canvas_is_the_profiles():
    other = dataclasses.replace(source(3), mean=(0.1,), std=(0.2,))
    under = source(5).under(other)
    assert (len(under), under.mean, under.std) == (5, (0.1,), (0.2,))
    data = dataclasses.replace(SETTINGS.data, canvas=24, padding="zero")
    canvases = source(5).on_canvas(data).images
    assert torch.equal(canvases, torch.nn.functional.pad(source(5).images, [2] * 4))
    assert torch.equal(source(5).on_canvas(SETTINGS.data).images, source(5).images)


def test_to_a_device_goes_all_that_a_source_holds():
    moved = source().to(torch.device("meta"))
    assert {values.device.type for values in (moved.images, moved.targets, moved.classes)} == {"meta"}


def test_what_is_shown_for_judging_is_the_central_region_shrunk():
    images = torch.zeros(2, 1, 20, 20, dtype=torch.uint8)
    images[:, :, 2:18, 2:18] = 200
    given = Source(images, torch.zeros(2), torch.zeros(2), (0.5,), (0.25,))
    shown = sources.judged(given, SETTINGS, 8)
    assert shown.images.shape == (2, 1, 8, 8)
    assert shown.images.dtype == torch.uint8
    assert int(shown.images.min()) == 200
    whole = sources.judged(given, SETTINGS)
    assert whole.images.shape == (2, 1, 16, 16)
    assert int(whole.images.min()) == 200


RECIPE = TrainingSettings(batch=25, learning_rate=0.1)
CPU = dataclasses.replace(SETTINGS, run=dataclasses.replace(SETTINGS.run, device="cpu"))


def test_a_batch_is_of_normalised_crops_with_their_labels():
    whole = source()
    inputs, targets = sources.sampler(whole, RECIPE, CPU, 0)(0, 16)
    assert inputs.shape == (25, 1, 16, 16)
    rows = torch.randperm(100, generator=seeds.generator(0, "train order", 0))[:25]
    assert torch.equal(inputs, to_input(whole.images[rows], (0.5,), (0.25,))[:, :, :16, :16])  # images of one colour
    assert torch.equal(targets, whole.targets[rows])
    soft = sources.sampler(whole.labelled(torch.eye(100)), RECIPE, CPU, 0)(0, 8)
    assert soft[0].shape == (25, 1, 8, 8)
    assert torch.equal(soft[1], torch.eye(100)[rows])


def test_samplers_of_one_seed_draw_the_same_and_apart_where_names_differ():
    def drawn(seed=0, name="train", step=0, **data):
        settings = dataclasses.replace(CPU, data=dataclasses.replace(CPU.data, **data))
        ramp = torch.arange(20).byte().expand(100, 1, 20, 20)  # a crop tells where it is, and whether it is mirrored
        return sources.sampler(dataclasses.replace(source(), images=ramp), RECIPE, settings, seed, name)(step, 16)

    one = drawn()
    assert all(map(torch.equal, one, drawn()))
    for other in (drawn(seed=1), drawn(name="alphas"), drawn(step=1)):
        assert not torch.equal(one[0], other[0])
        assert not torch.equal(one[1], other[1])
    rising = [bool((inputs.diff(dim=-1) > 0).all()) for inputs in (one[0], drawn(flip=True)[0])]
    assert rising == [True, False]


def test_crops_at_another_scale_and_moved_colours_are_functions_of_seed_name_and_step():
    images = torch.randint(256, (100, 3, 20, 20), generator=torch.Generator().manual_seed(0)).byte()
    colourful = dataclasses.replace(source(), images=images, mean=(0.5,) * 3, std=(0.25,) * 3)

    def drawn(seed=0, name="train", step=0, **changes):
        return sources.sampler(colourful, dataclasses.replace(RECIPE, **changes), CPU, seed, name)(step, 16)

    for changes in ({"crop": "resized"}, {"jitter": (0.4, 0.4, 0.4, 0.1)}):
        one = drawn(**changes)
        assert one[0].shape == (25, 3, 16, 16)
        assert all(map(torch.equal, one, drawn(**changes)))
        assert torch.equal(one[1], drawn()[1])  # the same images, otherwise
        for other in (drawn(), drawn(1, **changes), drawn(0, "alphas", **changes), drawn(0, "train", 1, **changes)):
            assert not torch.equal(one[0], other[0])


def test_the_loss_follows_the_targets():
    logits, classes = torch.randn(4, 10), torch.tensor([1, 2, 3, 4])
    hard = source().select(torch.arange(4))
    soft = hard.labelled(logits.flip(1))
    assert float(losses.loss_for(soft)(logits.flip(1), logits.flip(1))) == pytest.approx(0.0, abs=1e-6)
    expected = torch.nn.functional.cross_entropy(logits, classes)
    assert torch.isclose(losses.loss_for(hard)(logits, classes), expected)


def test_cutout_blanks_one_square_cut_off_at_the_border():
    inputs = torch.ones(2000, 3, 8, 8)
    out = cutout(inputs, 4, seeds.generator(0, "cutout"))
    blanked = (out[:, 0] == 0).sum((1, 2))
    assert torch.equal(out[:, 0], out[:, 2])
    assert int(blanked.max()) == 16
    assert int(blanked.min()) == 4  # centred on a corner: half of it in each direction is outside
    assert float(out[out != 0].min()) == 1.0
