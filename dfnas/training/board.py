"""Curves of a training for TensorBoard, while it goes on: `--set run.tensorboard=true`, `tensorboard --logdir runs`."""

import re
from pathlib import Path
from typing import Any

from dfnas.profiles import RunSettings
from dfnas.runtime import distributed, paths


def log(run: RunSettings, folder: Path | None, description: str, step: int) -> Any:
    """A writer to runs/tensorboard/<stage>/<description>; None where nobody asked, or in a second process.

    A training that goes on from a checkpoint does so in its curves: what they have behind `step` is hidden.
    """
    if not run.tensorboard or distributed.rank():
        return None
    from torch.utils.tensorboard import SummaryWriter  # imported late: few have the package

    stages, home = paths.runs() / "stages", paths.runs() / "tensorboard"
    if folder is not None and folder.is_relative_to(stages):
        home /= str(folder.relative_to(stages)).replace(".partial", "")
    return SummaryWriter(str(home / re.sub(r"[^\w.-]+", "-", description)), purge_step=step or None)


def note(log: Any, step: int, **values: float) -> None:
    """Add a point to some curves; a killed training keeps it."""
    if log is not None:
        for name, value in values.items():
            log.add_scalar(name, value, step)
        log.flush()


def close(log: Any) -> None:
    """Close the file and end its thread."""
    if log is not None:
        log.close()
