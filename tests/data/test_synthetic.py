"""The synthetic set on disk: which rounds and slots of it are read, and in which order."""

import pytest
import torch

from dfnas import profiles
from dfnas.data import synthetic, teachers
from dfnas.data.synthetic import Shard
from dfnas.errors import UserError

TEACHER = teachers.load(profiles.load("smoke"))


@pytest.fixture
def folder(tmp_path):
    """Rounds 3 and 4 of eight slots in two batches: an image's grey is its slot, and ten times its round."""
    for number in (4, 3):
        for batch in (1, 0):
            slots = torch.arange(4) + 4 * batch
            images = (slots + 10 * number).byte().view(4, 1, 1, 1).expand(4, 1, 20, 20)
            logits = torch.nn.functional.one_hot(slots, 10).half() / 3
            synthetic.write(tmp_path, Shard(images, logits, slots + 1, torch.zeros(1, 1), number, batch), 0, "made up")
    return tmp_path


@pytest.mark.parametrize(
    ("rounds", "slots", "greys"),
    [
        ("all", 0, [*range(30, 38), *range(40, 48)]),
        ("first", 0, [*range(30, 38)]),
        ("last", 0, [*range(40, 48)]),
        (4, 0, [*range(40, 48)]),
        ("all", 6, [*range(30, 36), *range(40, 46)]),
        (3, 3, [30, 31, 32]),
    ],
)
def test_rounds_and_slots_are_read_in_their_order(folder, rounds, slots, greys):
    found = synthetic.load(folder, TEACHER, rounds, slots)
    assert found.images[:, 0, 0, 0].tolist() == greys
    places = torch.tensor(greys) % 10
    assert torch.equal(found.classes, places + 1)
    assert found.targets.dtype == torch.float32
    assert torch.equal(found.targets, (torch.nn.functional.one_hot(places, 10).half() / 3).float())
    assert (found.mean, found.std) == (TEACHER.mean, TEACHER.std)


def test_a_shard_is_read_as_it_was_written(folder):
    shard = synthetic.read(synthetic.shard_path(folder, 4, 1))
    assert (shard.round, shard.batch, shard.logits.dtype) == (4, 1, torch.float16)
    assert shard.slot_class.tolist() == [5, 6, 7, 8]


def test_the_digest_is_of_images_labels_and_classes_and_of_nothing_else(folder):
    before, path = synthetic.digest(folder), synthetic.shard_path(folder, 4, 1)
    shard = synthetic.read(path)
    for changes in ({"images": shard.images + 1}, {"logits": shard.logits / 2}, {"slot_class": shard.slot_class + 1}):
        synthetic.write(folder, Shard(**{**vars(shard), **changes}), 0, "made up")
        assert synthetic.digest(folder) != before
    synthetic.write(folder, Shard(**{**vars(shard), "terms": shard.terms + 1}), 7, "other")
    assert synthetic.digest(folder) == before


def test_a_set_that_lacks_a_shard_is_refused_whichever_round_is_asked_for(folder):
    synthetic.shard_path(folder, 4, 0).unlink()
    with pytest.raises(UserError, match="lacks shards"):
        synthetic.load(folder, TEACHER, "first")
