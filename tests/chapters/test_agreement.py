"""Rankings beside each other: what is compared, and what goes into a record."""

import numpy as np
import pytest

from dfnas import profiles, records
from dfnas.chapters import spos
from dfnas.chapters.consistency import agreement, experiment
from dfnas.runtime import logs, statistics
from dfnas.runtime.artefacts import Artefact

SETTINGS = profiles.load("smoke")
RANKING = {
    "real": [0.1, 0.2, 0.3, 0.4, 0.5],
    "again": [0.3, 0.1, 0.2, 0.5, 0.4],
    "synthetic": [0.2, 0.3, 0.4, 0.5, 0.6],
    "control": [0.2, 0.2, 0.2, 0.2, 0.2],
    "noise": [0.1, 0.1, 0.1, 0.1, 0.1],
    "macs": [5.0, 4.0, 3.0, 2.0, 1.0],
}


def artefact(folder, rows):
    folder.mkdir()
    logs.write(folder / experiment.LOG, rows)
    return Artefact(folder.name, "", folder)


def test_parts_are_read_from_the_logs_of_their_stages(tmp_path):
    made = {}
    for number, arm in enumerate(experiment.ARMS):
        rows = [{"architecture": "darts:…", "accuracy": 0.1 * number, "own": 0.9, "macs": 7}]
        made[f"trained-{arm}"] = artefact(tmp_path / f"trained-{arm}", rows)
    made["trained-real-2"] = artefact(tmp_path / "again", [{**rows[0], "accuracy": 0.5}])
    made["untrained"] = artefact(tmp_path / "untrained", [{"synflow": 1.0, "naswot": 2.0, "jacov": 3.0}])
    found = agreement.parts(made, SETTINGS)
    real = {"real": [0.25], "again": [0.1], "macs": [7]}  # the truth is the mean of two trainings
    real |= {"synflow": [1.0], "naswot": [2.0], "jacov": [3.0]}
    assert found["darts"] == {**real, "synthetic": [0.2], "control": [0.1 * 3], "noise": [0.4]}
    own = {"synthetic": [0.9], "control": [0.9], "noise": [0.9]}
    assert found["darts_own"] == {**real, **own}  # the truth stays accuracy on real images
    for arm in experiment.ARMS:
        rows = [{"architecture": [0, 1, 2, 3], "own": 0.5, "validation": 0.25}]
        made[f"judged-{arm}"] = artefact(tmp_path / f"judged-{arm}", rows)
    found = agreement.parts(made, SETTINGS)
    assert list(found) == ["darts", "darts_own", "spos", "spos_validation"]
    assert found["spos"]["noise"] == [0.5]
    assert found["spos_validation"]["noise"] == [0.25]
    assert found["spos"]["macs"] == [spos.macs(SETTINGS, (0, 1, 2, 3))]


def test_each_ranking_is_compared_with_that_on_real_data():
    found = agreement.agreement(RANKING, SETTINGS)
    taus = {name: interval["tau"].value for name, interval in found.items()}
    assert taus == pytest.approx(
        {"synthetic_real": 1, "control_real": 0, "noise_real": 0, "real_real": 0.4, "macs_real": -1}
        | {"difference": 1, "difference_macs": 2}
    )
    assert found["real_real"]["spearman"].value == pytest.approx(0.6)
    untrained = agreement.agreement({**RANKING, "naswot": [1.0, 2.0, 3.0, 5.0, 4.0]}, SETTINGS)
    assert untrained["naswot_real"]["tau"].value == pytest.approx(0.8)


def test_further_supernets_of_an_arm_are_read_beside_its_first(tmp_path):
    generator, made = np.random.default_rng(0), {}
    for label in (*experiment.ARMS, *(f"{arm}-2" for arm in experiment.ARMS), "synthetic-3"):
        rows = [{"architecture": [0, 1, 2, 3], "own": own, "validation": 0.25} for own in generator.random(20).tolist()]
        made[f"judged-{label}"] = artefact(tmp_path / label, rows)
    ranking = agreement.parts(made, SETTINGS)["spos"]
    assert [len(agreement.supernets(ranking, arm)) for arm in ("synthetic", "real", "macs")] == [3, 2, 1]
    found = agreement.agreement(ranking, SETTINGS)["synthetic_real"]["tau"]
    pairs = [(f"synthetic{one}", f"real{other}") for one in ("", "-2", "-3") for other in ("", "-2")]
    taus = [statistics.correlation(ranking[one], ranking[other]) for one, other in pairs]
    assert found.value == pytest.approx(np.mean(taus))
    assert agreement.spread({"spos": ranking})["supernets"] == 2
    first = {arm: ranking[arm] for arm in (*experiment.ARMS, "macs")}
    assert agreement.spread({"spos": first})["supernets"] == 1


def test_a_record_has_every_name_and_a_dash_for_what_was_left_out():
    found = {"spos": agreement.agreement(RANKING, SETTINGS)}
    flat = records.flat(agreement.metrics(found))
    assert flat["tau_real_real"] == flat["spos_tau_real_real"] == pytest.approx(0.4)
    assert flat["darts_tau_real_real_low"] == records.MISSING
    both = records.flat(agreement.metrics({"darts": found["spos"], **found}))
    assert set(both) == set(flat)
    for kind in ("tau", "spearman", "pearson"):
        for name in ("synthetic_real", "control_real", "noise_real", "real_real", "difference"):
            assert {f"{kind}_{name}{part}" for part in ("", "_low", "_high")} <= set(both)
            assert f"spos_{kind}_{name}" in both


def test_regret_is_zero_where_all_are_looked_at():
    curves, by_lot = agreement.regrets(RANKING)
    assert curves["synthetic"] == pytest.approx([0.0] * 5)
    assert curves["macs"] == pytest.approx([0.4, 0.3, 0.2, 0.1, 0.0])
    assert by_lot[0] == pytest.approx(0.5 - 0.3)
    assert by_lot[-1] == pytest.approx(0.0)


def test_spread_is_over_architectures():
    found = agreement.spread({"spos": RANKING})
    assert found["spos_real"] == pytest.approx(0.3)
    assert found["spos_real_std"] == pytest.approx(0.025**0.5, abs=1e-4)
    assert found["spos_noise_std"] == pytest.approx(0.0)
    assert {value for name, value in found.items() if name.startswith("darts_")} == {records.MISSING}
    assert set(agreement.spread({})) == set(found)
