"""Validity gates: what an experiment needs in order to tell anything, asked of its chapter's record.

A gate that does not pass, or whose numbers the record lacks, leaves every claim that names it in the state
`cannot_tell`, with the gate's reason. Their limits were stated before the runs that they judge.
"""

from collections.abc import Callable, Mapping
from typing import Any

from dfnas.records.metrics import interval, number

ALIVE = 1.5  # times chance: what networks of a control have to be above
CEILING = 0.3  # Kendall's coefficient that real data have to be above with themselves
DIGITS = 0.9  # the accuracy that networks have to reach on digits, whatever the chapter states
DECIDED = 0.1  # of its start: what the entropy of an architecture has to lose
MATCHED = 0.05  # by how much of the other's two arms' multiply-adds may differ
WINDOWS = ("", "_second", "_third")  # ends of the names of the pruning chapter's metrics

Record = Mapping[str, Any]
Gate = Callable[[Record], tuple[bool, str]]  # whether it passes, and why; KeyError where the record does not say


def answer(gate: Gate, record: Record) -> tuple[bool | None, str]:
    """Whether a gate passes, None where the record does not say; and the reason in words."""
    try:
        return gate(record)
    except KeyError as missing:
        return None, f"this run did not record {missing.args[0]}, which the claim needs"


def alive(name: str) -> Gate:
    """Networks that learned from the live control do more than give one answer: `name` is what they reach."""

    def gate(record: Record) -> tuple[bool, str]:
        reached, least = number(record, name), ALIVE / record["parameters"]["data"]["classes"]
        return reached > least, f"networks of the control reach {reached:.1%}, and it is alive above {least:.0%}"

    return gate


def ceiling(name: str, what: str = "themselves") -> Gate:
    """Real data agree with themselves under another seed, or with `what`: `name` is the coefficient."""

    def gate(record: Record) -> tuple[bool, str]:
        value, low, high = interval(record, name)
        found = f"{value:.2f} ({low:.2f} to {high:.2f})".replace("-", "\N{MINUS SIGN}")
        words = f"rankings by real data agree with {what} to {found}, and above {CEILING} and clear of 0 is needed"
        return value > CEILING and low > 0, words

    return gate


def accurate(name: str, floor: float) -> Gate:
    """The recipe trains networks: `name`, what they reach by real images, is at the chapter's floor or above."""

    def gate(record: Record) -> tuple[bool, str]:
        reached, digits = number(record, name), record["parameters"]["data"]["name"] == "digits"
        least = DIGITS if digits else floor
        return reached >= least, f"networks reach {reached:.1%} on real test images, and have to reach {least:.0%}"

    return gate


def decided(*sources: str) -> Gate:
    """The searches on some sources came to a decision: the entropy of the architecture fell."""

    def gate(record: Record) -> tuple[bool, str]:
        kept = [(number(record, f"entropy_end_{e}") / number(record, f"entropy_start_{e}"), e) for e in sources]
        left, least = max(kept)
        words = f"searches on {least} images lost {1 - left:.0%} of their entropy, and {DECIDED:.0%} is needed"
        return 1 - left >= DECIDED, words

    return gate


def matched(first: str, second: str) -> Gate:
    """Two arms cost the same, in each window that there is."""

    def gate(record: Record) -> tuple[bool, str]:
        ends = [end for end in WINDOWS if f"{first}{end}_macs" in record["metrics"]] or [""]
        apart = max(abs(number(record, f"{first}{e}_macs") / number(record, f"{second}{e}_macs") - 1) for e in ends)
        return apart <= MATCHED, f"the costs differ by {apart:.1%}, and {MATCHED:.0%} is allowed at most"

    return gate


def repeated(*counts: str) -> Gate:
    """What the claim speaks of was done more than once, by the metrics that count it; a record without them has 1."""

    def gate(record: Record) -> tuple[bool, str]:
        done, least = min((record["metrics"].get(name, 1), name) for name in counts)
        several, _, source = least.partition("_")
        what = f"{several} on {source} images" if source else several
        return done > 1, f"of {what} there was one, so the interval says nothing about others"

    return gate
