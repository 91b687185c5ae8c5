"""Cells of a notebook that hold only with real images, or only without: a tag says so, and the first line of code.

The renderer goes by the tag. A kernel knows none, so `skip` has it pass over code by its first line.
"""

from collections.abc import Mapping, Sequence

from dfnas.data import presence
from dfnas.profiles import DataSettings

# By tag: the question, and the answer under which a cell is there.
CONDITIONS = {
    "needs-real-images": ("judge", True),
    "needs-real-training-images": ("learn", True),
    "without-real-images": ("judge", False),
    "without-real-training-images": ("learn", False),
}
ALL = {"learn": True, "judge": True}  # the answers of a record that is older than the questions


def answers(settings: DataSettings) -> dict[str, bool]:
    """Whether anything can learn from real images, and whether anything can be judged on some."""
    return {"learn": presence.has_train(settings), "judge": presence.has_test(settings)}


def left_out(tags: Sequence[str], answered: Mapping[str, bool]) -> bool:
    """Whether a cell with these tags is left out under these answers."""
    return any(answered[CONDITIONS[tag][0]] != CONDITIONS[tag][1] for tag in tags if tag in CONDITIONS)


def marker(tag: str) -> str:
    """The first line of a code cell that has the tag."""
    return f"# {tag.replace('-', ' ')}"


def skip(answered: Mapping[str, bool]) -> None:
    """From the next cell on, the notebook's kernel takes a cell that is left out for an empty one."""
    from IPython import get_ipython

    first = {marker(tag) for tag in CONDITIONS if left_out([tag], answered)}

    def without_left_out(lines: list[str]) -> list[str]:
        return [] if lines and lines[0].strip() in first else lines

    shell = get_ipython()  # None outside a notebook
    if shell is not None:
        others = [step for step in shell.input_transformers_cleanup if "without_left_out" not in str(step)]
        shell.input_transformers_cleanup[:] = [*others, without_left_out]
