"""MetaPruning without data: searches inside their windows, the same bits after a restart, files that others can use."""

import ast
import json
import os
import subprocess
import sys

import nbformat
import onnx.reference
import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from dfnas import profiles, records
from dfnas.chapters import exports
from dfnas.chapters.pruning import experiment, networks, results
from dfnas.data import teachers
from dfnas.errors import UserError
from dfnas.models import cost, pruning
from dfnas.runtime import paths, statistics
from dfnas.runtime.artefacts import Artefact
from dfnas.search import evolution, scratch, supernets
from dfnas.training import deployment

from .digits import source, stopped_at

SETTINGS = profiles.load("smoke", 0, ["run.checkpoint_seconds=0", "pruning.search.steps=6"])
CHAPTER = SETTINGS.pruning
SPACE = networks.space_of(SETTINGS)


def train(folder, stop_at=None):
    folder.mkdir(exist_ok=True)
    with stopped_at(stop_at):
        experiment.train_net(folder, source(), SETTINGS, teachers.load(SETTINGS))
    return Artefact("net", "", folder)


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    return train(tmp_path_factory.mktemp("net"))


def test_a_pruning_net_that_was_stopped_ends_with_the_same_bits(tmp_path, net):
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "stopped", stop_at=4)
    assert (tmp_path / "stopped" / "checkpoint.pt").exists()
    resumed = train(tmp_path / "stopped")
    for name in ("model.safetensors", "history.json"):
        assert (net.folder / name).read_bytes() == (resumed.folder / name).read_bytes()


def search(folder, net, window=0, stop_at=None):
    folder.mkdir(exist_ok=True)
    whole, calls = supernets.Judge.__call__, []

    def stopping(self, encoding):
        calls.append(encoding)
        if len(calls) == stop_at:
            raise KeyboardInterrupt
        return whole(self, encoding)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(supernets.Judge, "__call__", stopping)
        trained = experiment.read_net(net, SETTINGS)
        experiment.search(folder, source(), trained, window, SETTINGS)
    return calls


def test_a_search_that_was_stopped_finds_the_same_and_judges_nothing_twice(tmp_path, net):
    whole = search(tmp_path / "whole", net)
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path / "stopped", net, stop_at=6)
    rest = search(tmp_path / "stopped", net)
    assert len(rest) == len(whole) - 5
    for name in ("architectures.json", evolution.LOG):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "stopped" / name).read_bytes()


@pytest.mark.parametrize("window", range(3))
def test_everything_visited_costs_what_the_window_allows_and_nothing_is_built_for_it(
    tmp_path, net, window, monkeypatch
):
    def never(*_):
        raise AssertionError("a search builds networks to know their cost")

    monkeypatch.setattr(pruning.Network, "__init__", never)
    monkeypatch.setattr(cost, "macs", never)
    search(tmp_path / "whole", net, window)
    monkeypatch.undo()
    visited = evolution.load(tmp_path / "whole" / evolution.LOG)
    low, high = CHAPTER.windows[window]
    assert len({row.candidate for row in visited}) == len(visited) == 12
    assert all(low <= networks.macs(SETTINGS, row.candidate) <= high for row in visited)
    kept = json.loads((tmp_path / "whole" / "architectures.json").read_bytes())
    assert kept["score"] == max(row.scores[0] for row in visited)
    assert low <= scratch.macs(kept["architectures"][0], SETTINGS, SETTINGS.spos.scratch) <= high


def test_a_candidate_is_judged_the_same_whatever_was_judged_before(net):
    judge = experiment.judge_of(experiment.read_net(net, SETTINGS), source(), SETTINGS)
    first = (20, 18, 12, 15, 22)
    once = judge(first)
    other = judge((20, 5, 12, 30, 22))  # shares batch norms with the first
    assert judge(first) == once
    assert all(0 <= value <= 1 for value in (*once, *other))


def test_encodings_are_a_function_of_seed_and_step(tmp_path, monkeypatch):
    given, drawn = {}, []
    names = ("folder", "net", "source", "companion")
    monkeypatch.setattr(supernets, "train", lambda *rest, **_: given.update(zip(names, rest)))
    experiment.train_net(tmp_path, source(), SETTINGS, teachers.load(SETTINGS))
    for step in (*range(60), 3):
        given["companion"].before(step, 60, 0.1, None)
        drawn.append(given["net"].encoding)
    assert drawn[-1] == drawn[3]
    assert len(set(drawn[:-1])) == 60
    assert {gene for encoding in drawn for gene in encoding} >= {0, 30}


def test_what_a_find_is_compared_with_costs_what_it_costs(tmp_path):
    found = Artefact("search", "key", tmp_path / "search")
    found.folder.mkdir()
    scratch.write_architectures(found.folder, [pruning.to_text((19, 17, 22, 14, 21), SPACE)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "runs", lambda: tmp_path)
        drawn = networks.baselines_stage(found, 0, SETTINGS)
    even, *others = [pruning.from_text(text)[0] for text in scratch.read_architectures(drawn.folder)]
    assert max(even) - min(even) <= 1
    assert networks.macs(SETTINGS, even) == pytest.approx(networks.macs(SETTINGS, (19, 17, 22, 14, 21)), rel=0.05)
    assert len(set(others)) == len(others) == CHAPTER.random
    assert all(networks.inside(SETTINGS, 0, encoding) for encoding in others)


TEXT = pruning.to_text((14, 16, 21, 9, 24), SPACE)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A network trained for a few steps as the chapter trains them, and its files."""
    folder, teacher = tmp_path_factory.mktemp("trained"), teachers.load(SETTINGS)
    networks.train(folder, TEXT, 0, source().under(teacher), SETTINGS, teacher)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "runs", lambda: folder / "runs")
        artefact = exports.network_stage("pruning", "pruned", TEXT, Artefact("t", "key", folder), SETTINGS, teacher)
    return folder, artefact.folder


def images(count=5):
    return torch.randn(count, 1, 16, 16, generator=torch.Generator().manual_seed(0))


def logits_of(folder):
    network = pruning.Network(SPACE, (14, 16, 21, 9, 24), 10, 1)
    network.load_state_dict(load_file(folder / "model.safetensors"))
    with torch.no_grad():
        return network.eval()(images())


def lines_of_the_chapter():
    notebook = nbformat.read(paths.root() / "notebooks" / "09-pruning.ipynb", as_version=4)
    assigned = [
        node.value
        for cell in notebook.cells
        if cell.cell_type == "code"
        for node in ast.parse(cell.source).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "lines"
    ]
    (lines,) = assigned
    return ast.literal_eval(lines)


def test_the_chapters_three_lines_give_the_same_logits_in_a_fresh_process(exported, tmp_path):
    trained, files = exported
    lines = lines_of_the_chapter()
    assert len(lines.strip().splitlines()) == 3
    (tmp_path / "pruned.safetensors").write_bytes((files / "pruned.safetensors").read_bytes())
    torch.save(images(), tmp_path / "images.pt")
    asked = lines + '\ntorch.save(network(torch.load("images.pt")).detach(), "logits.pt")'
    subprocess.run([sys.executable, "-c", asked], cwd=tmp_path, check=True)
    assert torch.equal(torch.load(tmp_path / "logits.pt"), logits_of(trained))


def test_the_exported_programs_compute_the_same_for_any_number_of_images(exported):
    trained, files = exported
    expected = logits_of(trained)
    program = torch.export.load(files / "pruned.pt2").module()
    assert torch.allclose(program(images()), expected, atol=1e-4)
    session = onnx.reference.ReferenceEvaluator(str(files / "pruned.onnx"))
    (logits,) = session.run(None, {"images": images().numpy()})
    assert torch.allclose(torch.from_numpy(logits), expected, atol=1e-4)


def test_a_file_says_what_it_holds(exported, tmp_path):
    _, files = exported
    card = deployment.card(files / "pruned.safetensors")
    assert card["architecture"] == TEXT
    assert (card["classes"], card["channels"], card["side"]) == (10, 1, 16)
    assert cost.parameters(deployment.load(files / "pruned.safetensors")) == pruning.parameters(
        SPACE, (14, 16, 21, 9, 24), 10, 1
    )
    (tmp_path / "broken.safetensors").write_bytes(b"nothing")
    for path in (tmp_path / "broken.safetensors", tmp_path / "none.safetensors", exported[0] / "model.safetensors"):
        with pytest.raises(UserError, match="holds no network") as error:
            deployment.load(path)
        assert "\n" not in str(error.value)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux only")
def test_an_export_onto_a_full_disk_is_one_line(exported, tmp_path, monkeypatch):
    (tmp_path / f"pruned.pt2.{os.getpid()}.tmp").symlink_to("/dev/full")
    network = deployment.load(exported[1] / "pruned.safetensors")
    with pytest.raises(UserError, match=r"cannot write .*pruned\.pt2 \(No space left on device\)"):
        deployment.translate(network, (1, 16, 16), tmp_path, "pruned")

    def full(*_):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(UserError, match=r"cannot write .*pruned\.safetensors .*No space left"):
        deployment.save(tmp_path / "pruned.safetensors", TEXT, network.state_dict(), {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("pruning.network=resnet9", "cannot prune"),
        ("pruning.windows=((1, 2),)", "one pair for each"),
        ("pruning.windows=((1, 2), (3, 4), (5, 6))", "encodings cost"),
        ("pruning.genes=((0, 31), (0, 1), (0, 1))", "genes are 0 to 30"),
        ("pruning.validation_each=50", "no image"),
    ],
)
def test_settings_that_make_no_sense_are_refused(override, words):
    with pytest.raises(UserError, match=words):
        networks.check(profiles.load("smoke", 0, [override]))


def test_more_windows_than_the_chapter_shows_are_refused():
    four = [f"pruning.windows={((1, 2),) * 4}", f"pruning.genes={((0, 30),) * 4}"]
    with pytest.raises(UserError, match="shows up to 3"):
        networks.check(profiles.load("smoke", 0, four))


def test_over_windows_each_window_is_one_difference_whatever_the_number_of_its_trainings():
    one, other = {0: [0.5, 0.3], 1: [0.6, 0.8], 2: [0.3]}, {0: [0.3, 0.3], 1: [0.5, 0.3, 0.7], 2: [0.1]}
    columns = [{window: {"accuracy": values} for window, values in arm.items()} for arm in (one, other)]
    found = results.compared(dict(zip("ab", columns, strict=True)), "a", "b", range(3))
    assert found == pytest.approx(statistics.interval([0.1, 0.2, 0.2]))


def test_a_single_window_has_no_interval_over_windows():
    accuracy = {"accuracy": [0.5, 0.25]}
    found = records.flat(results._differences({arm: {0: accuracy} for arm in networks.ARMS}))
    assert found["difference_all_synthetic_uniform"] == found["difference_all_real_random_low"] == records.MISSING
    assert found["difference_synthetic_uniform"] == 0.0
