"""What a notebook ran and found: its record, the claims that records decide, and where a result comes from."""

from dfnas.records.metrics import MISSING, absent, flat, interval, summary
from dfnas.records.run import Run, begin, read
