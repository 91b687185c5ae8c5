"""Teachers: those that ship, the user's own, and files that do not fit."""

import json
import pickle

import pytest
import torch
from safetensors.torch import save_file

from dfnas import models, profiles
from dfnas.chapters import teacher
from dfnas.data import teachers
from dfnas.errors import UserError
from dfnas.synthesis import moments

SHIPPED = sorted(path.parent.name for path in teachers.SHIPPED.glob("*/card.json"))  # not the network of chapter 0


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_teacher_is_what_its_card_says(name):
    card = json.loads((teachers.SHIPPED / name / "card.json").read_bytes())
    settings = next(s for s in map(profiles.load, ("quick", "laptop")) if s.teacher.shipped == name)
    shipped = teachers.read(teachers.SHIPPED / name, settings.data)
    assert shipped.digest == card["digest"]
    assert card["test_accuracy"] > 0.8
    assert card["recipe"]
    assert card["data"] == settings.data.name
    assert not any(parameter.requires_grad for parameter in shipped.network.parameters())


def test_the_shipped_teachers_are_small():
    assert set(SHIPPED) == {"digits-resnet8", "cifar10-resnet20"}
    assert sum(path.stat().st_size for path in teachers.SHIPPED.rglob("*")) < 3e6


def save(path, classes=10, network="resnet8"):
    state = models.build(network, classes, 1, seed=0).state_dict()
    if path.suffix == ".safetensors":
        save_file({name: value.contiguous() for name, value in state.items()}, path)
    else:
        torch.save({"state_dict": state}, path)
    return path


@pytest.mark.parametrize("name", ["own.safetensors", "own.pt"])
def test_the_users_own_weights(tmp_path, name):
    path = save(tmp_path / name)
    own = teachers.load(profiles.load("smoke", 0, [f"teacher.path={path}"]))
    expected = models.build("resnet8", 10, 1, seed=0)
    assert all(torch.equal(a, b) for a, b in zip(own.network.parameters(), expected.parameters(), strict=True))


def test_the_users_own_network(tmp_path, monkeypatch):
    (tmp_path / "their_networks.py").write_text(
        "from dfnas import models\ndef network():\n    return models.build('resnet5', 10, 1)\n", encoding="utf-8"
    )
    monkeypatch.syspath_prepend(tmp_path)
    path = save(tmp_path / "own.safetensors", network="resnet5")
    overrides = [f"teacher.path={path}", "teacher.builder=their_networks:network"]
    assert len(moments.BatchNormDistance(teachers.load(profiles.load("smoke", 0, overrides)).network).layers) == 6


class Evil:
    def __reduce__(self):
        return (print, ("a pickle was executed",))


def test_no_pickle_is_executed(tmp_path, capsys):
    path = tmp_path / "evil.pt"
    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(UserError):
        teachers.load(profiles.load("smoke", 0, [f"teacher.path={path}"]))
    assert "executed" not in capsys.readouterr().out


def no_batch_norm():
    return torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(4), torch.nn.Flatten(), torch.nn.Linear(16, 10))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["teacher.path=/nowhere.safetensors"], "no teacher at"),
        (["teacher.path={seven}", f"teacher.builder={__name__}:seven"], "has 7 classes, and data.classes is 10"),
        (["teacher.path={other}"], "does not fit"),
        (["teacher.path={other}", "teacher.builder=nothing"], "module:function"),
        (["teacher.path={flat}", f"teacher.builder={__name__}:no_batch_norm"], "no batch-norm statistics"),
    ],
)
def test_a_teacher_that_does_not_fit_is_one_line(tmp_path, overrides, message):
    files = {"seven": save(tmp_path / "seven.pt", 7), "other": save(tmp_path / "other.pt", network="resnet5")}
    files["flat"] = tmp_path / "flat.pt"
    torch.save(no_batch_norm().state_dict(), files["flat"])
    with pytest.raises(UserError, match=message) as caught:
        teachers.load(profiles.load("smoke", 0, [item.format(**files) for item in overrides]))
    assert "\n" not in str(caught.value)


def seven():
    return models.build("resnet8", 7, 1)


def test_seven_classes_in_the_books_own_network(tmp_path):
    path = save(tmp_path / "seven.pt", 7)
    with pytest.raises(UserError, match="does not fit"):
        teachers.load(profiles.load("smoke", 0, [f"teacher.path={path}"]))


def test_a_profile_without_a_teacher_asks_for_one():
    with pytest.raises(UserError, match=r"teacher\.path=PATH"):
        teachers.load(profiles.load("paper-imagenet"))


def arguments_wanted(classes):
    return models.build("resnet8", classes, 1)


def test_a_builder_that_wants_arguments_is_one_line(tmp_path):
    path = save(tmp_path / "own.safetensors")
    overrides = [f"teacher.path={path}", f"teacher.builder={__name__}:arguments_wanted"]
    with pytest.raises(UserError, match="cannot be called"):
        teachers.load(profiles.load("smoke", 0, overrides))


def test_a_folder_without_a_card_is_one_line(tmp_path):
    save(tmp_path / "model.safetensors")
    with pytest.raises(UserError, match=r"card\.json") as caught:
        teachers.load(profiles.load("smoke", 0, [f"teacher.path={tmp_path}"]))
    assert "\n" not in str(caught.value)


def test_the_users_normalisation(tmp_path):
    path = save(tmp_path / "own.safetensors")
    given = [f"teacher.path={path}", "teacher.mean=(0.3,)", "teacher.std=(0.2,)"]
    own, usual = (teachers.load(profiles.load("smoke", 0, overrides)) for overrides in (given, given[:1]))
    assert (own.mean, own.std) == ((0.3,), (0.2,))
    assert own.digest != usual.digest  # the same weights, told apart in every key
    with pytest.raises(UserError, match="one a channel"):
        teachers.load(profiles.load("smoke", 0, [*given[:2], "teacher.std=(0.2, 0.2)"]))


def test_a_given_network_is_reported_and_read_again(tmp_path, monkeypatch):
    """The teacher chapter with the user's own builder: the artefact knows how to build it, and has no curve to show."""
    monkeypatch.setenv("DFNAS_RUNS", str(tmp_path / "runs"))
    path = save(tmp_path / "own.safetensors", network="resnet5")
    settings = profiles.load("smoke", 0, [f"teacher.path={path}", f"teacher.builder={__name__}:small"])
    artefact = teacher.compute(settings)["teacher"]
    again = teachers.read(artefact.folder, settings.data)
    assert again.digest == teachers.load(settings).digest
    assert json.loads((artefact.folder / "history.json").read_bytes())["loss"] == []
    assert 0 <= again.card["test_accuracy"] <= 1


def small():
    return models.build("resnet5", 10, 1)
