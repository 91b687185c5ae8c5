"""The chapter on pruning: `compute` and `plan`."""

from dfnas.chapters.pruning.estimate import plan
from dfnas.chapters.pruning.experiment import compute
