"""Chapter on published truth: `compute` and `plan`."""

from dfnas.chapters.truth.estimate import plan
from dfnas.chapters.truth.experiment import compute
