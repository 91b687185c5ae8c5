"""The scale on the cards: pixels, steps, images, networks and seeds, as the records have them."""

import json
from pathlib import Path
from typing import Any

import pytest
from dfnas_book import scale

from dfnas import profiles

from . import made_up

RECORDS = sorted((made_up.ROOT / "book/executed").rglob("[01]?-*.json"))
RECORDS = [path for path in RECORDS if path.suffixes == [".json"]]


def run(name: str, stages: tuple[str, ...] = (), **metrics: Any) -> dict[str, Any]:
    """An invented record with a profile's settings of today."""
    parameters = json.loads(json.dumps(profiles.to_dict(profiles.load("laptop"))))
    return made_up.record(name, parameters=parameters, stages={stage: {} for stage in stages}, metrics=metrics)


def test_scale_of_a_search() -> None:
    searches = ("darts-search-synthetic-0", "darts-search-synthetic-1", "darts-search-real_soft-0")
    trained = ("darts-random", "darts-found-synthetic-0-0", "darts-random-0", "darts-random-1")
    found = run("04-darts", (*searches, *trained))
    found["parameters"]["darts"] |= {"side": 8, "search": {"steps": 1500, "epochs": 0, "batch": 32}}
    found["parameters"]["darts"]["scratch"] |= {"side": 0, "seeds": 2}
    found["parameters"]["darts"]["scratch"]["training"] |= {"steps": 0, "epochs": 2, "resolutions": [[16, 0.25]]}
    found["parameters"]["synthesis"]["images"] = 4000
    assert scale.lines(found) == [
        "searches: 8x8 pixels, 1,500 steps of 32, 4,000 images, seeds: synthetic 2, real soft 1",
        "trainings from scratch: 32x32 pixels (16x16 in 25% of the steps), 2 epochs in batches of 128, "
        "all real training images, 3 networks, 2 seeds a find, 1 a random network",
    ]
    found["real_images"] = {"learn": False, "judge": False}
    assert "4,000 synthetic images, 3 networks" in scale.lines(found)[1]


@pytest.mark.parametrize("name", profiles.CHAPTERS)
def test_each_setting_that_a_card_reads_is_one_of_todays(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    read, asked = scale.at, list[str]()

    def strict(record: dict[str, Any], path: str) -> Any:
        asked.append(path)
        value: Any = record["parameters"]
        for part in path.split("."):
            value = value[part] if part in value or part not in ("side", "resolutions") else None  # not all stages have
        return value

    monkeypatch.setattr(scale, "at", strict)
    assert list(scale.CHAPTERS[name](run(name, side=32, images=9, rows=3, pairs=2, claims=5)))
    assert asked or name in ("11-kernels", "12-results")
    assert read(run(name), "no.such.setting") is None


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_published_run_has_a_scale(path: Path) -> None:
    found = json.loads(path.read_bytes())
    text = " ".join(scale.lines(found))
    wanted = ["rows"] if path.stem == "11-kernels" else ["records"] if path.stem == "12-results" else []
    wanted = wanted or ["pixels", "steps" if path.stem != "01-teacher" else "epochs", "images", "seed"]
    assert [word for word in wanted if word not in text] == []
    assert "None" not in text
