"""What goes into a record whole comes out whole, and nothing comes out that did not go in."""

import subprocess
import sys

import pytest

from dfnas import records
from dfnas.records import metrics
from dfnas.runtime.statistics import Interval, Summary

TAU, ACCURACY = Interval(0.5, -0.25, 1.0, 7), Summary(0.75, 0.125, 3)


def test_an_interval_and_a_summary_come_out_as_they_went_in() -> None:
    record = {"metrics": records.flat({"tau": TAU, "accuracy": ACCURACY, "network": "resnet20", "images": 6})}
    assert record["metrics"] == {
        "tau": 0.5,
        "tau_low": -0.25,
        "tau_high": 1.0,
        "tau_freedom": 7,
        "accuracy": 0.75,
        "accuracy_std": 0.125,
        "accuracy_n": 3,
        "network": "resnet20",
        "images": 6,
    }
    assert records.interval(record, "tau") == TAU
    assert records.interval(record, "tau").freedom == 7
    del record["metrics"]["tau_freedom"]
    assert records.interval(record, "tau").freedom == 1
    assert records.summary(record, "accuracy") == ACCURACY


def test_wholes_undo_flat() -> None:
    values = {"tau": TAU, "accuracy": ACCURACY, "network": "resnet20", "images": 6, "first_std": 0.5, "first": 1.0}
    assert metrics.wholes(records.flat(values)) == values
    dashes = records.flat({"x": records.absent(Summary)})
    assert metrics.wholes(dashes) == dashes


@pytest.mark.parametrize("lost", ["tau", "tau_low", "tau_high"])
def test_half_an_interval_does_not_come_out(lost: str) -> None:
    metrics = records.flat({"tau": TAU})
    del metrics[lost]
    with pytest.raises(KeyError, match=lost):
        records.interval({"metrics": metrics}, "tau")


@pytest.mark.parametrize(("kind", "read"), [(Interval, records.interval), (Summary, records.summary)])
def test_dashes_keep_the_names_and_do_not_come_out(kind, read) -> None:
    metrics = records.flat({"x": records.absent(kind)})
    assert set(metrics) == set(records.flat({"x": kind(1.0, 2.0, 3)}))
    assert set(metrics.values()) == {records.MISSING}
    with pytest.raises(KeyError, match="x"):
        read({"metrics": metrics}, "x")


def test_a_plain_tuple_is_no_interval() -> None:
    assert records.flat({"x": (0.5, 0.25, 1.0)}) == {"x": (0.5, 0.25, 1.0)}  # which `Run.record` refuses


def test_a_notebook_that_records_needs_no_heavy_package() -> None:
    asked = "import sys; from dfnas import records; print([name for name in ('scipy', 'torch') if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
