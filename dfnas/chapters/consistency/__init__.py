"""Chapter on consistency: `compute` and `plan`."""

from dfnas.chapters.consistency.estimate import plan
from dfnas.chapters.consistency.experiment import compute
