"""Whether real data can be read while networks are trained."""

import pytest

from dfnas.data import real, splits
from dfnas.profiles import Settings
from dfnas.training import loop


def of_real_data(patch: pytest.MonkeyPatch, settings: Settings) -> list[str]:
    """From now on each training adds whether real data were "open" or "closed" when it began."""
    whole, seen = loop.train, list[str]()

    def watching(*arguments, **options):
        try:
            real.load(settings.data)
            seen.append("open")
        except splits.RealDataError:
            seen.append("closed")
        return whole(*arguments, **options)

    patch.setattr(loop, "train", watching)
    return seen
