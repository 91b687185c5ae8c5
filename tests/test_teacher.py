"""Teachers: those that ship, the user's own, and files that do not fit."""

import json
import pickle

import pytest
import torch
from safetensors.torch import save_file

from dfnas import inversion, models, profiles, teacher
from dfnas.errors import UserError

SHIPPED = sorted(path.name for path in teacher.SHIPPED.iterdir())


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_teacher_is_what_its_card_says(name):
    card = json.loads((teacher.SHIPPED / name / "card.json").read_text())
    settings = next(s for s in map(profiles.load, ("quick", "laptop")) if s.teacher.shipped == name)
    shipped = teacher.read(teacher.SHIPPED / name, settings.data)
    assert shipped.digest == card["digest"]
    assert card["test_accuracy"] > 0.8
    assert card["recipe"]
    assert card["data"] == settings.data.name
    assert not any(parameter.requires_grad for parameter in shipped.network.parameters())


def test_the_shipped_teachers_are_small():
    assert set(SHIPPED) == {"digits-resnet8", "cifar10-resnet20"}
    assert sum(path.stat().st_size for path in teacher.SHIPPED.rglob("*")) < 3e6


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
    own = teacher.load(profiles.load("smoke", 0, [f"teacher.path={path}"]))
    expected = models.build("resnet8", 10, 1, seed=0)
    assert all(torch.equal(a, b) for a, b in zip(own.network.parameters(), expected.parameters(), strict=True))


def test_the_users_own_network(tmp_path, monkeypatch):
    (tmp_path / "their_networks.py").write_text(
        "from dfnas import models\ndef network():\n    return models.build('resnet5', 10, 1)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    path = save(tmp_path / "own.safetensors", network="resnet5")
    overrides = [f"teacher.path={path}", "teacher.builder=their_networks:network"]
    assert len(inversion.BatchNormDistance(teacher.load(profiles.load("smoke", 0, overrides)).network).layers) == 6


class Evil:
    def __reduce__(self):
        return (print, ("a pickle was executed",))


def test_no_pickle_is_executed(tmp_path, capsys):
    path = tmp_path / "evil.pt"
    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(UserError):
        teacher.load(profiles.load("smoke", 0, [f"teacher.path={path}"]))
    assert "executed" not in capsys.readouterr().out


def no_batch_norm():
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(256, 10))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["teacher.path=/nowhere.safetensors"], "no teacher at"),
        (["teacher.path={seven}", "teacher.builder=test_teacher:seven"], "has 7 classes, and digits has 10"),
        (["teacher.path={other}"], "does not fit"),
        (["teacher.path={other}", "teacher.builder=nothing"], "module:function"),
        (["teacher.path={flat}", "teacher.builder=test_teacher:no_batch_norm"], "no BatchNorm2d"),
    ],
)
def test_a_teacher_that_does_not_fit_is_one_line(tmp_path, overrides, message):
    files = {"seven": save(tmp_path / "seven.pt", 7), "other": save(tmp_path / "other.pt", network="resnet5")}
    files["flat"] = tmp_path / "flat.pt"
    torch.save(no_batch_norm().state_dict(), files["flat"])
    with pytest.raises(UserError, match=message) as caught:
        teacher.load(profiles.load("smoke", 0, [item.format(**files) for item in overrides]))
    assert "\n" not in str(caught.value)


def seven():
    return models.build("resnet8", 7, 1)


def test_seven_classes_in_the_books_own_network(tmp_path):
    path = save(tmp_path / "seven.pt", 7)
    with pytest.raises(UserError, match="does not fit"):
        teacher.load(profiles.load("smoke", 0, [f"teacher.path={path}"]))


def test_a_profile_without_a_teacher_asks_for_one():
    with pytest.raises(UserError, match=r"teacher\.path=PATH"):
        teacher.load(profiles.load("paper-imagenet"))
