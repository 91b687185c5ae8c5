"""What chapters put into their records: which values are compared, and under which name each goes."""

import json
import math

import pytest
import torch
from safetensors.torch import save_file

from dfnas import profiles
from dfnas.chapters import calibration, darts, distillation, spos, synthesis
from dfnas.chapters.proxylessnas import results as proxylessnas
from dfnas.data import real as real_data
from dfnas.models.darts import DARTS_V1, DARTS_V2, Size, to_text
from dfnas.models.darts_genotype import PRIMITIVES
from dfnas.runtime import stages, statistics
from dfnas.search import scratch
from dfnas.search.evolution import Visited

SETTINGS = profiles.load("smoke")


def merits(value):
    return {"verifier_accuracy": value, "batch_norm_distance": value, "roughness": value}


def test_the_class_that_the_verifier_knows_worst_is_named():
    by_class = [0.9, 0.8, 0.3, *[0.7] * 7]
    found = synthesis.metrics(
        {
            "student_accuracies": [0.5, 0.75],
            "synthetic": merits(0.1) | {"verifier_accuracy_by_class": by_class},
            "real": merits(0.2),
            "ablations": {"no batch-norm statistics": merits(0.3)},
        },
        SETTINGS,
    )
    assert found["verifier_lowest"] == 0.3
    assert found["verifier_lowest_class"] == real_data.class_names(SETTINGS.data)[2]
    assert found["student_accuracy"] == statistics.summary([0.5, 0.75])
    names = ("roughness", "roughness_real", "roughness_no_batch_norm_statistics")
    assert [found[name] for name in names] == [0.1, 0.2, 0.3]


ARMS = {arm: [[0.25, 0.5]] for arm in (*calibration.arms(SETTINGS), *calibration.REAL)}


def test_arms_are_compared_seed_by_seed_in_points():
    arms = ARMS | {"round0": [[0.5, 0.75]], "noise": [[0.0, 1.0]], "real_same_count": [[1.0, 0.0]]}
    found = calibration.accuracies(arms)
    assert found["difference_round0_hard"] == (25.0, 25.0, 25.0)
    assert found["difference_noise_round0"].value == pytest.approx(-12.5)
    assert found["student_accuracy_round0"] == statistics.summary([0.5, 0.75])
    # controls and real images, which vary more, say nothing of how synthetic arms vary
    assert found["pooled_std"] == pytest.approx(statistics.deviation([0.25, 0.5]))
    assert found["largest_std"] == pytest.approx(statistics.deviation([0.25, 0.5]))


def test_of_several_sets_each_is_one_value_and_pairs_are_of_one_set():
    several = {arm: [[0.25], [0.5]] if arm in calibration.ONCE else [[0.25, 0.5], [0.5, 0.5]] for arm in ARMS}
    several |= {"round0": [[0.5, 0.75], [0.5, 1.0]]}
    found = calibration.accuracies(several)
    assert found["student_accuracy_round0"] == statistics.summary([0.625, 0.75])
    assert found["difference_round0_hard"] == statistics.paired_difference([0.625, 0.75], [0.375, 0.5]).scaled(100)
    of_one_student = statistics.paired_difference([0.25, 0.5], [0.625, 0.75]).scaled(100)
    assert found["difference_noise_round0"] == of_one_student
    pooled = statistics.pooled_deviation([[0.25, 0.5], [0.5, 0.5]] * 5 + [[0.5, 0.75], [0.5, 1.0]])
    assert found["pooled_std"] == pytest.approx(pooled)  # within sets
    assert calibration.units(several)["round0"] == [0.625, 0.75]
    assert calibration.units(ARMS)["round0"] == [0.25, 0.5]


def measures(value):
    names = ("semantics", "diversity", "domain_gap", "label_entropy", "similarity_correlation", "off_slot")
    return dict.fromkeys(names, value)


def test_measures_are_of_the_first_round_the_last_one_and_noise_and_labels_of_real_images_too():
    results = {"arms": ARMS, "rounds": [measures(0.1), measures(0.2), measures(0.3)], "drift": [0.5, 0.4]}
    results |= {"noise": measures(0.6), "control": measures(0.65), "real": measures(0.7)}
    found = calibration.metrics(results, SETTINGS)
    assert [found[f"semantics_{name}"] for name in ("first", "last", "noise")] == [0.1, 0.3, 0.6]
    assert [found[f"label_entropy_{name}"] for name in ("first", "last", "real")] == [0.1, 0.3, 0.7]
    assert found["drift_last"] == 0.4


def written(folder, text, alphas, **files):
    folder.mkdir()
    scratch.write_architectures(folder, [text])
    save_file({"alphas": alphas}, folder / "alphas.safetensors")
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    return stages.Artefact(folder.name, "", folder)


def test_a_darts_search_is_known_by_its_last_step(tmp_path):
    undecided, decided = torch.zeros(2, 14, 8), torch.zeros(2, 14, 8)
    decided[..., PRIMITIVES.index("skip_connect")] = 100.0
    history = {"validation_accuracy": [0.1, 0.6], "step": [50, 60]}
    first, second = (to_text(genotype, Size(4, 3)) for genotype in (DARTS_V1, DARTS_V2))
    texts = {"synthetic-0": first, "real-0": second, "noise-0": second, "synthetic-1": first, "real_soft-0": second}
    found = darts.outcomes(
        {
            label: written(tmp_path / label, text, torch.stack([undecided, decided]), history=history)
            for label, text in texts.items()
        }
    )
    assert found["entropy_start_noise"] == pytest.approx(math.log(8))
    assert found["entropy_end_noise"].mean == pytest.approx(0.0, abs=1e-6)
    assert found["skip_weight_synthetic"] == pytest.approx(1.0)
    assert found["held_out_real"] == 0.6
    assert found["skip_connections_synthetic"] == first.count("skip_connect")
    assert found["agreement_again_synthetic"] == found["agreement_real_noise"] == 1.0
    assert found["agreement_synthetic_real_soft"] == darts.agreement(first, second) < 1.0
    assert "agreement_again_real" not in found


def test_finds_are_averaged_over_the_searches_on_a_source(tmp_path):
    first, second = (to_text(genotype, Size(4, 3)) for genotype in (DARTS_V1, DARTS_V2))
    history, alphas = {"validation_accuracy": [0.5], "step": [1]}, torch.zeros(1, 2, 14, 8)
    searches = {
        f"synthetic-{seed}": written(tmp_path / str(seed), text, alphas, history=history)
        for seed, text in enumerate((first, second, second))
    }
    alike = darts.agreement(first, second)
    assert darts.outcomes(searches)["agreement_again_synthetic"] == pytest.approx((1 + 2 * alike) / 3)


def test_random_cells_agree_where_an_operation_and_its_predecessor_are_drawn_alike():
    chance = darts.chance_agreement(0, 400)
    # A node reads 2 of n predecessors through any of 7 operations: an edge of one cell is in the other 2 / 7n times.
    expected = sum(2 / (7 * count) for count in (2, 3, 4, 5)) / 4
    assert abs(float(chance.mean()) - expected) < 3 * float(chance.std()) / 400**0.5
    assert torch.equal(chance, darts.chance_agreement(0, 400))
    assert not torch.equal(chance, darts.chance_agreement(1, 400))


def visited(*rows):
    return [Visited(generation, "random", (), choices, scores) for generation, choices, scores in rows]


def test_a_spos_search_is_known_by_its_best_candidate_and_its_first_generation():
    blocks = len(spos.space_of(SETTINGS).blocks)
    paths = sorted([(choice,) * blocks for choice in range(4)], key=lambda path: spos.macs(SETTINGS, path))
    synthetic = visited((0, paths[0], (0.1, 0.9)), (0, paths[1], (0.2, 0.8)), (1, paths[2], (0.7, 0.3)))
    real = visited((0, paths[0], (0.4, 0.4)), (0, paths[1], (0.3, 0.3)), (1, paths[2], (0.2, 0.2)))
    found = spos.outcomes({"synthetic": synthetic, "real": real}, SETTINGS)
    assert (found["score_synthetic"], found["score_label_synthetic"]) == (0.7, 0.3)
    assert found["first_synthetic"] == statistics.summary([0.1, 0.2])
    assert (found["visited_real"], found["compared"]) == (3, 2)
    assert (found["spearman_macs_synthetic"], found["spearman_macs_real"]) == pytest.approx((1, -1))
    assert (found["spearman_real_synthetic"], found["spearman_real_real"]) == pytest.approx((-1, 1))


def test_a_proxylessnas_search_moves_from_its_first_to_its_last_tenth(tmp_path):
    columns = {name: list(range(20)) for name in ("accuracy", "reward", "cost", "entropy")}
    alphas = torch.stack([torch.zeros(3, 4), torch.tensor([0.0, 0.0, -torch.inf, -torch.inf]).repeat(3, 1)])
    search = written(tmp_path / "search", "text", alphas, updates=columns)
    found = proxylessnas.moves(search)
    assert (found["reward_first"], found["reward_last"]) == (0.5, 18.5)
    assert found["certainty"] == pytest.approx(0.5)
    assert (found["entropy"], found["spread"]) == (19, 0.0)


def students(*accuracies):
    columns = dict.fromkeys(distillation.MEASURES[1:], [0.5] * len(accuracies))
    return columns | {"accuracy": list(accuracies)}


def distilled():
    chapter, sizes = SETTINGS.distillation, [slots * SETTINGS.synthesis.rounds for slots in SETTINGS.distillation.sizes]
    labels = {arm.name: students(0.5, 0.25) for arm in distillation.arms(SETTINGS) if arm.experiment == "labels"}
    return chapter, {
        "full": {"synthetic": students(0.75, 0.5), "real_same_count": students(0.5, 0.25)},
        "labels": labels | {"stored": students(0.75, 0.75)},
        "images": {f"{name}-{size}": students(0.25, 0.25) for name in ("synthetic", "real") for size in sizes},
        "networks": {name: students(0.5, 0.5) for name in distillation.networks(SETTINGS)},
    }


def test_students_are_compared_seed_by_seed_and_curves_end_less_start():
    _, results = distilled()
    found = distillation.differences(results, SETTINGS)
    assert found["difference_synthetic_real_same_count"] == (25.0, 25.0, 25.0)
    assert found["difference_stored_hard"].value == pytest.approx(37.5)
    assert found["difference_other_temperature_stored"].value == pytest.approx(-37.5)
    assert found["difference_images_synthetic"] == (50.0, 50.0, 50.0)
    assert found["difference_images_real"].value == pytest.approx(12.5)


def test_the_students_of_the_synthetic_set_have_the_plain_name():
    chapter, results = distilled()
    found = distillation.metrics({"teacher_accuracy": 0.9, "results": results}, SETTINGS)
    assert found["student_accuracy"] == statistics.summary([0.75, 0.5])
    assert found["student_accuracy_real_same_count"] == statistics.summary([0.5, 0.25])
    assert found["labels_stored"] == statistics.summary([0.75, 0.75])
    assert found["cheap_network"] == chapter.comparison.network
    assert found["network_narrow_parameters"] < found["network_full_parameters"]
