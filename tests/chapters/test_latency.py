"""Latency: a table that holds every operator, adds up, and is refused where it does not fit."""

import json

import pytest
import torch

from dfnas import __main__, profiles
from dfnas.chapters import proxylessnas
from dfnas.chapters.proxylessnas import experiment, latency
from dfnas.errors import UserError
from dfnas.models import mbconv
from dfnas.models.chain import random_choices
from dfnas.runtime import seeds, stages

SETTINGS = profiles.load("smoke")
SPACE = experiment.space_of(SETTINGS)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("latency") / "table.json"
    latency.write(path, SETTINGS)
    return path


def test_the_table_says_how_it_was_measured_and_holds_each_operator_once(file):
    made = latency.read(file)
    assert (made["format"], made["unit"], made["batch"], made["repeats"]) == (2, "milliseconds", 4, 9)
    assert made["threads"] == torch.get_num_threads()
    assert torch.__version__.startswith(made["versions"]["torch"])
    assert made["machine"]["cpu"]
    # Two stages of two blocks: four shapes of six operations, and both ends.
    assert len(made["operators"]) == 4 * 6 + 2
    assert all(0 < row["low"] <= row["low"] <= row["high"] for row in made["operators"].values())


def test_the_operators_are_the_parts_of_a_network():
    """Whatever path is taken, its operators one after the other are the network."""
    chains, choices = latency.chains(SETTINGS), (1, 6, 2, 5)
    network = mbconv.Network(SPACE, choices, 10, 1).eval()
    parts = [network.head, *(block for block in network.blocks if isinstance(block, mbconv.Block)), network.tail]
    taken = [chains[choice][1 + place] for place, choice in enumerate(choices) if choice != mbconv.ZERO]
    x = torch.randn(2, 1, 16, 16)
    for (name, module), part in zip([chains[0][0], *taken, chains[0][-1]], parts, strict=True):
        assert name.endswith(f"side {x.shape[-1]}")
        assert [tuple(p.shape) for p in module.parameters()] == [tuple(p.shape) for p in part.parameters()]
        x = part(x)
    assert x.shape == (2, 10)


def test_predictions_are_sums_of_operators_and_zero_takes_no_time(file):
    made = latency.read(file)
    _, rows = latency.costs(made, SETTINGS)
    assert [len(row) for row in rows] == [shape.operations for shape in SPACE.blocks]
    assert [row[mbconv.ZERO] for row in rows if len(row) == 7] == [0.0, 0.0]
    times = made["operators"]
    least = latency.predict(made, (0, 6, 0, 6), SETTINGS)
    assert least == pytest.approx(
        times["head 1>8>4 stride 2 side 16"]["low"]
        + times["mbconv_3x3_e3 4>8 stride 2 side 8"]["low"]
        + times["mbconv_3x3_e3 8>16 stride 1 side 4"]["low"]
        + times["tail 16>32>10 side 4"]["low"]
    )
    assert latency.predict(made, (0, 3, 0, 6), SETTINGS) - least == pytest.approx(
        times["mbconv_5x5_e6 8>8 stride 1 side 4"]["low"]
    )


def test_networks_are_measured_in_the_rounds_of_the_table_that_predicts_them():
    made, networks = latency.measure_table(SETTINGS)
    assert {len(column) for column in networks.values()} == {5}
    for text, predicted, low, measured, high, macs in zip(
        *(networks[name] for name in ("architecture", "predicted", "low", "measured", "high", "macs")), strict=True
    ):
        choices, space = mbconv.from_text(text)
        assert space == SPACE
        assert predicted == latency.predict(made, choices, SETTINGS)
        assert 0 < low <= measured <= high
        assert macs == mbconv.macs(space, choices, 16, 10, 1)


def test_a_machine_that_is_faster_later_does_not_contradict_its_table(monkeypatch, tmp_path):
    """A table of a busy hour, kept, and what is computed after it on a machine at rest."""
    monkeypatch.setenv("DFNAS_RUNS", str(tmp_path))
    factors = iter((3.0, 1.0, 1.0))
    original = latency.measure

    def slower(items, *rest):
        factor = next(factors)
        rows = original(items, *rest)
        return {name: {part: factor * value for part, value in row.items()} for name, row in rows.items()}

    monkeypatch.setattr(latency, "measure", slower)
    first = latency.table_stage(SETTINGS)
    again = latency.table_stage(SETTINGS)
    assert first.folder == again.folder
    networks = json.loads((again.folder / latency.NETWORKS).read_bytes())
    assert abs(latency.errors(networks)["bias"]) <= latency.LIMIT
    assert latency.read(again)["bias"] == latency.errors(networks)["bias"]


def test_errors_of_predictions():
    networks = {"predicted": [2.2, 3.3, 4.4], "measured": [2.0, 3.0, 4.0], "macs": [3e6, 2e6, 1e6]}
    found = latency.errors(networks)
    assert found == pytest.approx(
        {"error": 0.1, "bias": 0.1, "spread": 0.0, "spearman_predicted": 1.0, "spearman_macs": -1.0}
    )
    assert latency.errors(networks | {"predicted": [1.0, 4.5, 4.0]})["bias"] == pytest.approx(0.0)


class Clock:
    """Time that passes as it is told: parts cost what they cost, and in some rounds another program runs."""

    def __init__(self, monkeypatch, busy=lambda lap: 1.0):
        self.now, self.laps, self.busy = 0.0, 0, busy
        monkeypatch.setattr(latency.time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(latency, "ABOUT", 0.0)

    def part(self, cost, hot=1.0):
        clock = self

        class Part(torch.nn.Module):
            def __deepcopy__(self, memo):
                return self

            def forward(self, x):
                # The second time in a row its weights are still in the cache.
                clock.now += 1e-3 * cost * (hot if clock.last is self else 1.0) * clock.busy(clock.laps)
                clock.last, clock.laps = self, clock.laps + 1
                return x

        self.last = None
        return Part()


def test_a_part_is_measured_in_its_place_and_other_programs_are_not(monkeypatch):
    """Alone and again and again, in the cache, a part would take a tenth. In half of all laps something else runs."""
    settings = profiles.load("smoke", 0, ["proxylessnas.latency.repeats=40"])
    clock = Clock(monkeypatch, busy=lambda lap: 30.0 if lap // 7 % 2 else 1.0)
    one, other, third = (clock.part(cost, hot=0.1) for cost in (1.0, 2.0, 3.0))
    chains = [[("one", one), ("other", other)], [("one", one), ("third", third)]]
    found = latency.measure(chains, 1, settings, "parts")
    assert [found[name]["low"] for name in ("one", "other", "third")] == pytest.approx([1.0, 2.0, 3.0])
    assert found["one"]["high"] > 10


def busy(monkeypatch, factor, load=0.0):
    """A machine on which every operator takes a millisecond, and whole networks `factor` times as many as they have."""
    tries = []

    def measure(items, *rest):
        tries.append(len(items))
        rows = {}
        for name in (name for chain in items for name, _ in chain):
            whole = name.startswith("proxyless:")
            parts = 2 + sum(choice != mbconv.ZERO for choice in mbconv.from_text(name)[0]) if whole else 1
            value = parts * (factor if whole else 1.0)
            rows[name] = {"low": value, "median": value, "high": 1.2 * value}
        return rows

    monkeypatch.setattr(latency, "measure", measure)
    monkeypatch.setattr(latency.machine, "load", lambda: load)
    return tries


def test_a_table_says_how_far_it_is_off_and_whether_the_machine_was_busy(monkeypatch, tmp_path):
    for factor, load in ((1.0, 0.1), (1.25, 0.9)):
        tries = busy(monkeypatch, factor, load)
        made = latency.write(tmp_path / "table.json", SETTINGS)
        assert made["bias"] == pytest.approx(1 / factor - 1)
        assert (made["load"], made["busy"], len(tries)) == (load, load > 0.5, 1)
        assert made["spread"] == pytest.approx(1.2)
        assert latency.read(tmp_path / "table.json") == made


def test_a_table_that_is_far_off_is_refused_after_three_tries_and_not_written(monkeypatch, tmp_path):
    tries = busy(monkeypatch, 0.1, load=1.5)
    with pytest.raises(UserError, match=r"are \+900% off what networks take, at a load of 1.5 a core") as caught:
        latency.write(tmp_path / "table.json", SETTINGS)
    assert "\n" not in str(caught.value)
    assert len(tries) == 3
    assert not (tmp_path / "table.json").exists()


def test_measuring_is_inference(monkeypatch):
    """No gradients, statistics as they were, and every module as often as the others."""
    calls = []

    class Counting(torch.nn.Module):
        def forward(self, x):
            calls.append((self.training, torch.is_grad_enabled(), tuple(x.shape)))
            return x

    monkeypatch.setattr(latency, "ABOUT", 0.0)
    found = latency.measure([[("a", Counting())], [("b", Counting())]], 2, SETTINGS, "test")
    assert set(found) == {"a", "b"}
    assert set(calls) == {(False, False, (2, 1, 16, 16))}


def test_measuring_leaves_the_network_as_it_was():
    network = torch.nn.Conv2d(1, 4, 3).train()
    before = network.weight.stride()
    latency.measure([[("a", network)]], 2, SETTINGS, "test")
    assert network.training
    assert network.weight.stride() == before


def test_networks_are_measured_beside_a_table_of_this_machine_whatever_table_is_paid(file):
    settings = profiles.load("smoke", 0, [f"proxylessnas.latency_table={file}"])
    plain, given = (stages.keys(lambda s=s: proxylessnas.compute(s)) for s in (SETTINGS, settings))
    assert given["proxyless-latency"] == plain["proxyless-latency"]


def test_a_search_pays_latency_of_a_given_table(file, tmp_path):
    table = json.loads(file.read_bytes())
    for name, row in table["operators"].items():
        row["low"] = 50.0 if "7x7" in name else 1.0
    (tmp_path / "made-up.json").write_text(json.dumps(table), encoding="utf-8")
    overrides = ["proxylessnas.cost=latency", f"proxylessnas.latency_table={tmp_path / 'made-up.json'}"]
    settings = profiles.load("smoke", 0, overrides)
    chosen = latency.table(settings)
    costs = experiment.costs_of(settings, chosen)
    assert costs.fixed == 2.0
    assert costs.rows[1] == (1.0, 1.0, 1.0, 1.0, 50.0, 50.0, 0.0)
    paths = torch.tensor([random_choices(SPACE.options, seeds.generator(0, "paths", n)) for n in range(5)])
    assert costs.of(paths).tolist() == [latency.predict(table, path, settings) for path in paths.tolist()]
    assert costs.reference == pytest.approx(2 + 2 * (4 + 100) / 6 + 2 * (4 + 100) / 7)


def test_the_table_is_part_of_a_search_s_key_only_where_latency_is_the_cost(file, tmp_path):
    table = json.loads(file.read_bytes())
    table["operators"]["tail 16>32>10 side 4"]["low"] += 1.0
    other = tmp_path / "other.json"
    other.write_text(json.dumps(table), encoding="utf-8")

    def key(cost, path):
        overrides = [f"proxylessnas.cost={cost}", f"proxylessnas.latency_table={path}"]
        settings = profiles.load("smoke", 0, overrides)
        return stages.keys(lambda: proxylessnas.compute(settings))["proxyless-search-synthetic-0"]

    assert key("macs", file) == key("macs", other)
    assert key("latency", file) != key("latency", other)


def test_tables_that_do_not_fit_are_refused(file, tmp_path):
    def refused(path, words, profile="smoke"):
        with pytest.raises(UserError, match=words):
            latency.table(profiles.load(profile, 0, [f"proxylessnas.latency_table={path}"]))

    refused(tmp_path / "none.json", "no latency table at")
    (tmp_path / "words.json").write_text("[1, 2]", encoding="utf-8")
    refused(tmp_path / "words.json", "is no latency table")
    table = json.loads(file.read_bytes())
    del table["operators"]["tail 16>32>10 side 4"]
    (tmp_path / "short.json").write_text(json.dumps(table), encoding="utf-8")
    refused(tmp_path / "short.json", "has no 'tail 16>32>10 side 4'")
    refused(file, "has no", "quick")


def test_the_command_writes_a_table_and_says_where(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("DFNAS_RUNS", str(tmp_path / "runs"))
    path = tmp_path / "folder" / "table.json"
    assert __main__.main(["latency", "--profile", "smoke", "--out", str(path)]) == 0
    shown = capsys.readouterr().out
    assert str(path) in shown
    assert "mbconv_7x7_e6 8>16 stride 1 side 4" in shown
    assert len(latency.read(path)["operators"]) == 26
    assert __main__.main(["latency", "--profile", "smoke"]) == 0
    assert latency.read(tmp_path / "runs" / "latency-smoke.json")["batch"] == 4


def test_all_operators_of_a_network_with_depthwise_convolutions_are_timed_in_its_precision(monkeypatch):
    """The tail has none, and would run in bf16 if it were a network of its own."""
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    settings, seen = profiles.load("smoke", 0, ["run.device=cpu"]), []

    class Probe(torch.nn.Identity):
        def forward(self, x):
            seen.append(torch.is_autocast_enabled("cpu"))
            return x

    latency.measure([[("tail", Probe())]], 1, settings, "a probe")
    assert set(seen) == {False} == {latency.conditions(settings)["bf16"]}


def test_a_profile_without_the_chapter_has_nothing_to_measure(tmp_path, capsys):
    assert __main__.main(["latency", "--profile", "paper-cifar10"]) == 2
    assert "no ProxylessNAS search" in capsys.readouterr().err
