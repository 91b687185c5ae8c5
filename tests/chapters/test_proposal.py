"""new-profile: what it finds out of a small network, the file it writes, and what it refuses."""

from pathlib import Path

import pytest
import torch

from dfnas import __main__, profiles
from dfnas.chapters import costs
from dfnas.data import teachers

NETWORK = """
from torch import nn

def small():
    convolutions = nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    return nn.Sequential(*convolutions, nn.BatchNorm1d(8), nn.Linear(8, 7))
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The arguments of the command for a network of seven classes, in the folder where it lies."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("DFNAS_RUNS", str(tmp_path / "runs"))
    Path("own_net.py").write_text(NETWORK)
    import own_net

    torch.save(own_net.small().state_dict(), "weights.pt")
    Path("names.txt").write_text("\n".join("abcdefg") + "\n")
    return ["new-profile", "--teacher", "own_net:small", "--weights", "weights.pt", "--input", "3x48x48"]


def test_the_file_is_a_profile_of_the_network(own: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main([*own, "--classes", "names.txt", "--base", "quick", "mine.toml"]) == 0
    shown = capsys.readouterr().out
    assert "takes 3 x 48 x 48, answers 7 classes" in shown
    assert "1 batch norms with running statistics; 1 BatchNorm1d in its head left out" in shown
    assert "state mean and std" in shown
    assert "# mean = [0.5, 0.5, 0.5]" in Path("mine.toml").read_text()
    settings = profiles.load("mine.toml")
    assert (settings.data.region, settings.data.canvas, settings.data.classes) == (48, 60, 7)
    assert settings.data.class_names == tuple("abcdefg")
    assert (settings.spos.side, settings.spos.scratch.side) == (16, 16)  # quick's limits are for 16 pixels
    teacher = teachers.load(settings)
    assert len(teacher.classes) == 7
    row = costs.synthetic_set("synthesis", settings, settings.synthesis)
    convolution, linear = 24 * 24 * 8 * 27, 8 * 7
    assert row["macs"] == pytest.approx(2 * (convolution + linear) * 600 * (50 / 16 + 50 / 4 + 50))
    assert __main__.main(["plan", "02-synthesis", "--profile", "mine.toml"]) == 0


@pytest.mark.parametrize(("side", "canvas", "scales"), [(30, 38, [2, 1]), (33, 42, [1]), (64, 80, [4, 2, 1])])
def test_the_canvas_and_the_stages_fit_the_side(own: list[str], side: int, canvas: int, scales: list[int]) -> None:
    assert __main__.main([*own[:-1], f"3x{side}x{side}", "mine.toml"]) == 0
    settings = profiles.load("mine.toml")
    assert (settings.data.canvas, [scale for scale, *_ in settings.synthesis.stages]) == (canvas, scales)
    assert len(settings.synthesis.learning_rates) == len(scales)


def test_a_batch_that_would_take_much_memory_is_halved(own: list[str]) -> None:
    assert __main__.main([*own[:-1], "3x512x512", "mine.toml"]) == 0
    settings = profiles.load("mine.toml")
    each = 256 * 256 * 8 * 4 * 3  # what enters the batch norm, and its gradients
    assert settings.synthesis.batch * each <= 1e9 < 2 * settings.synthesis.batch * each
    assert settings.synthesis.images % (settings.synthesis.batch * settings.synthesis.rounds) == 0


def test_a_network_of_torchvision(own: list[str]) -> None:
    import torchvision

    torch.save(torchvision.models.resnet18(num_classes=7).state_dict(), "weights.pt")
    own[2] = "torchvision:resnet18"
    assert __main__.main([*own, "mine.toml"]) == 0
    settings = profiles.load("mine.toml")
    assert (settings.teacher.network, settings.teacher.builder, settings.data.classes) == (own[2], "", 7)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"3x48x48": "3x48x64"}, "must be square"),
        ({"3x48x48": "48"}, "write channels x side x side"),
        ({"3x48x48": "1x48x48"}, "does not take images of 1x48x48"),
        ({"weights.pt": "none.pt"}, "no weights at "),
        ({"weights.pt": "names.txt"}, "does not fit own_net:small"),
        ({"own_net:small": "own_net:smal"}, "cannot be called"),
        ({"mine.toml": "mine"}, "must end in .toml"),
        ({"mine.toml": "no/mine.toml"}, "there is no folder"),
        ({"mine.toml": "there.toml"}, "--force"),
        ({"names.txt": "six.txt"}, "6 names"),
    ],
)
def test_what_does_not_fit_is_one_line(
    own: list[str], capsys: pytest.CaptureFixture[str], changes: dict[str, str], what: str
) -> None:
    Path("there.toml").write_text("kept")
    Path("six.txt").write_text("\n".join("abcdef"))
    arguments = [*own, "--classes", "names.txt", "mine.toml"]
    assert __main__.main([changes.get(word, word) for word in arguments]) == 2
    shown = capsys.readouterr()
    assert what in shown.err
    assert shown.err.count("\n") == 1
    assert not Path("mine.toml").exists()
    assert Path("there.toml").read_text() == "kept"
