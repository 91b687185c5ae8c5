"""The chapter on ProxylessNAS: `compute` and `plan`."""

from dfnas.chapters.proxylessnas.estimate import plan
from dfnas.chapters.proxylessnas.experiment import compute
