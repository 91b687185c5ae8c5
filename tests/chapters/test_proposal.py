"""new-profile: what it finds out of a small network, the file it writes, and what it refuses."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from dfnas import __main__, profiles
from dfnas.chapters import costs, proposal
from dfnas.data import teachers
from dfnas.profiles import Settings, rules
from dfnas.profiles.resolve import to_dict, variant

NETWORK = """
from torch import nn

def small(channels=3, classes=7):
    convolutions = nn.Conv2d(channels, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    return nn.Sequential(*convolutions, nn.BatchNorm1d(8), nn.Linear(8, classes))

def fixed():
    body = nn.Conv2d(3, 4, 3, 2, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten()
    return nn.Sequential(*body, nn.Linear(4 * 24 * 24, 7))

def grouped():
    body = nn.Conv2d(3, 8, 3, 2, 1), nn.GroupNorm(2, 8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    return nn.Sequential(*body, nn.Linear(8, 7))
"""
CHAPTERS = ("02-synthesis", "03-calibration", "04-darts", "05-spos", "06-proxylessnas", "09-pruning", "10-distillation")


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The arguments of the command for a network of seven classes, in the folder where it lies."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("DFNAS_RUNS", str(tmp_path / "runs"))
    Path("own_net.py").write_text(NETWORK, encoding="utf-8")
    import own_net

    state = own_net.small().state_dict()
    torch.save({"state_dict": {f"module.{name}": value for name, value in state.items()}}, "weights.pt")
    Path("names.txt").write_text("\n".join("abcdefg") + "\n", encoding="utf-8")
    return ["new-profile", "--teacher", "own_net:small", "--weights", "weights.pt", "--input", "3x48x48"]


def test_the_file_is_a_profile_of_the_network(own: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main([*own, "--classes", "names.txt", "mine.toml"]) == 0
    shown = capsys.readouterr().out
    assert "takes 3 x 48 x 48 (also sides of 24, 16, 12), answers 7 classes" in shown
    assert "1 batch norms with running statistics" in shown
    assert all(chapter in shown for chapter in CHAPTERS)
    assert "state mean and std" in shown
    assert "# mean = [0.5, 0.5, 0.5]" in Path("mine.toml").read_text(encoding="utf-8")
    settings = profiles.load("mine.toml")
    assert (settings.data.region, settings.data.canvas, settings.data.classes) == (48, 60, 7)
    assert settings.data.class_names == tuple("abcdefg")
    assert (settings.spos.side, settings.spos.scratch.side) == (16, 16)  # quick's limits are for 16 pixels
    assert len(teachers.load(settings).classes) == 7
    row = costs.synthetic_set("synthesis", settings, settings.synthesis)
    convolution, linear = 24 * 24 * 8 * 27, 8 * 7
    assert row["macs"] == pytest.approx(2 * (convolution + linear) * 600 * (50 / 16 + 50 / 4 + 50))


def test_the_file_says_what_was_proposed(own: list[str]) -> None:
    """All chapters were planned on what was proposed, before the file was written."""
    base = profiles.load("smoke")
    changes, _ = proposal.propose(base, "own_net:small", Path("weights.pt").absolute(), "3x33x33")
    assert __main__.main([*own[:-1], "3x33x33", "--base", "smoke", "mine.toml"]) == 0
    wanted, found = to_dict(variant(base, **changes)), to_dict(profiles.load("mine.toml"))
    assert {name for name in wanted if wanted[name] != found[name]} == {"profile", "base", "file", "chapters"}


@pytest.fixture
def no_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds less, where another test has looked at it."""
    monkeypatch.setattr(proposal, "_estimate", lambda settings: "")


@pytest.mark.usefixtures("no_estimate")
@pytest.mark.parametrize(("channels", "side"), [(3, 48), (1, 20)])
def test_plan_and_compute_take_the_file_as_it_is(own: list[str], channels: int, side: int) -> None:
    import own_net

    save_file(own_net.small(channels).state_dict(), "one.safetensors")
    builder, size, file = f"own_net:small(channels={channels})", f"{channels}x{side}x{side}", f"mine{channels}.toml"
    named = ["--teacher", builder, "--weights", "one.safetensors", "--input", size]
    assert __main__.main(["new-profile", *named, "--base", "smoke", file]) == 0
    assert __main__.main(["plan", "02-synthesis", "--profile", file]) == 0
    fewer = ["--set", "student.training.steps=2", "--set", "student.seeds=1"]
    assert __main__.main(["compute", "02-synthesis", "--profile", file, *fewer]) == 0


def proposed(builder: str, weights: str, shape: str) -> Settings:
    base = profiles.load("quick")
    return variant(base, **proposal.propose(base, builder, Path(weights).absolute(), shape)[0])


@pytest.mark.parametrize(
    ("side", "canvas", "stages"),
    [
        (30, 42, [[3, 50], [2, 50], [1, 50]]),
        (33, 42, [[3, 50], [1, 100]]),
        (47, 59, [[1, 150]]),
        (64, 80, [[4, 50], [2, 50], [1, 50]]),
    ],
)
def test_the_canvas_and_the_stages_fit_the_side(
    own: list[str], side: int, canvas: int, stages: list[list[int]]
) -> None:
    settings = proposed("own_net:small", "weights.pt", f"3x{side}x{side}")
    assert settings.data.canvas == canvas
    assert [[scale, iterations] for scale, iterations, _ in settings.synthesis.stages] == stages
    rules.check(settings)


def test_a_network_of_one_side_has_one_stage(own: list[str]) -> None:
    import own_net

    torch.save(own_net.fixed().state_dict(), "weights.pt")
    settings = proposed("own_net:fixed", "weights.pt", "3x48x48")
    assert settings.synthesis.stages == ((1, 150, "grow"),)
    teachers.load(settings)


@pytest.mark.usefixtures("no_estimate")
def test_a_network_without_statistics_is_said_to_be_one(own: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    import own_net

    torch.save(own_net.grouped().state_dict(), "weights.pt")
    own[2] = "own_net:grouped"
    assert __main__.main([*own, "--base", "smoke", "mine.toml"]) == 0
    assert "no batch norms, so little is left of its data" in capsys.readouterr().out
    assert "without_statistics = true  # no batch norms" in Path("mine.toml").read_text(encoding="utf-8")
    assert profiles.load("mine.toml").teacher.without_statistics


def test_many_classes_have_images_and_limits_that_hold_a_network(own: list[str]) -> None:
    import own_net

    torch.save(own_net.small(classes=500).state_dict(), "weights.pt")
    settings = proposed("own_net:small(classes=500)", "weights.pt", "3x48x48")
    assert settings.synthesis.images == 15_000
    assert settings.spos.validation_each * 500 < 15_000 / 2
    assert settings.spos.limit_macs == 410_000 + 2 * 9 * 8 * 16 * 16 + 490 * 128  # a stem of 8, a tail of 128


def test_a_batch_that_would_take_much_memory_is_halved(own: list[str]) -> None:
    chosen = proposed("own_net:small", "weights.pt", "3x512x512").synthesis
    each = 256 * 256 * 8 * 4 * 3  # what enters the batch norm, and its gradients
    assert chosen.batch * each <= 1e9 < 2 * chosen.batch * each
    assert chosen.images % (chosen.batch * chosen.rounds) == 0


@pytest.mark.usefixtures("no_estimate")
def test_networks_by_name_and_files_that_hold_their_network(own: list[str]) -> None:
    import own_net
    import torchvision

    torch.save(torchvision.models.squeezenet1_1(num_classes=9).state_dict(), "weights.pt")
    settings = proposed("torchvision:squeezenet1_1", "weights.pt", "3x64x64")
    assert (settings.teacher.network, settings.teacher.builder) == ("torchvision:squeezenet1_1", "")
    assert settings.data.classes == 9
    shape = ({0: torch.export.Dim.DYNAMIC},)
    program = torch.export.export(own_net.small().eval(), (torch.zeros(2, 3, 48, 48),), dynamic_shapes=shape)
    torch.export.save(program, "network.pt2")
    assert __main__.main([own[0], "--weights", "network.pt2", *own[5:], "--base", "smoke", "file.toml"]) == 0
    settings = profiles.load("file.toml")
    assert (settings.teacher.builder, settings.data.classes) == ("", 7)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"3x48x48": "3x48x64"}, "square"),
        ({"3x48x48": "48"}, "write channels x side x side"),
        ({"3x48x48": "1x48x48"}, "does not take images 1x48x48"),
        ({"weights.pt": "none.pt"}, "'none.pt' does not exist"),
        ({"weights.pt": "names.txt"}, "is nothing that torch or safetensors writes"),
        ({"own_net:small": "own_net:smal"}, "cannot be called"),
        ({"own_net:small": ""}, "weights need their network"),
        ({"mine.toml": "mine"}, "must end in .toml"),
        ({"mine.toml": "no/mine.toml"}, "in a folder that is there"),
        ({"mine.toml": "there.toml"}, "--force"),
        ({"names.txt": "six.txt"}, "has 7 classes, and data.classes is 6"),
        ({"names.txt": "weights.pt"}, "is no UTF-8 text"),
        ({"smoke": "there.toml"}, "--base there.toml: there are smoke"),
    ],
)
def test_what_does_not_fit_is_one_line(
    own: list[str], capsys: pytest.CaptureFixture[str], changes: dict[str, str], what: str
) -> None:
    Path("there.toml").write_text("kept", encoding="utf-8")
    Path("six.txt").write_text("\n".join("abcdef"), encoding="utf-8")
    arguments = [*own, "--base", "smoke", "--classes", "names.txt", "mine.toml"]
    assert __main__.main([changes.get(word, word) for word in arguments]) == 2
    shown = [line for line in capsys.readouterr().err.splitlines() if "BatchNorm1d are left out" not in line]
    assert len(shown) == 1
    assert what in shown[0]
    assert not Path("mine.toml").exists()
    assert Path("there.toml").read_text(encoding="utf-8") == "kept"
