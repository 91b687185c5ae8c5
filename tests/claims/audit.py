"""Whether a published page of results says what the records say."""

import math
from collections.abc import Mapping
from typing import Any

from dfnas import records
from dfnas.chapters import results
from dfnas.runtime import paths


def audit(record: Mapping[str, Any], sets: results.Sets) -> list[str]:
    """The names under which a record of this chapter disagrees with the records of `sets`, its own profile's first.

    A digit that was changed afterwards, in this record or in one that it read, is found here. Of other profiles'
    records only the book's own profile has to know the latest: their runs are published one after the other.
    """
    profile, kept = record["profile"], record["metrics"]
    expected = records.flat(results.metrics(sets, profile))
    own = f"digest_{results._identifier(profile)}_"
    names = [
        name
        for name in sorted({*kept, *expected})
        if profile == paths.BOOK or name.startswith(own) or not name.startswith(("digest_", "paper_scale_runs"))
    ]
    return [name for name in names if not _same(kept.get(name), expected.get(name))]


def _same(first: Any, second: Any) -> bool:
    if isinstance(first, float) and isinstance(second, float):
        return math.isclose(first, second, rel_tol=1e-12)  # the last bits of an interval are the machine's
    return first == second
