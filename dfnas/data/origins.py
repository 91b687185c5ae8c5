"""Where the sources of a search come from: synthetic images, as many real ones, or as many images of noise."""

import contextlib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

from dfnas.data import presence, splits, synthetic
from dfnas.data import real as real_data
from dfnas.data.sources import Source
from dfnas.data.teachers import Teacher
from dfnas.profiles import DataSettings, Settings
from dfnas.runtime.artefacts import Artefact

NAMES = ("synthetic", "real", "noise")


def names(data: DataSettings) -> tuple[str, ...]:
    """The sources that there are: without real images to learn from, the other two."""
    return tuple(name for name in NAMES if name != "real" or presence.has_train(data))


@dataclass(frozen=True)
class Origin:
    """A source before it is read: its name, and the artefact that holds it or the digest of the real data."""

    name: str
    given: Artefact | str

    def guarded(self) -> AbstractContextManager:
        """A context in which real data is out of reach, unless the source is real data."""
        return contextlib.nullcontext() if self.name == "real" else splits.no_real_data()

    def load(self, settings: Settings, teacher: Teacher) -> Source:
        """The source. The real one has as many images as the synthetic set (or all there are), and true classes."""
        if isinstance(self.given, Artefact):
            return synthetic.load(self.given.folder, teacher)
        return real_data.train(settings.data, settings.synthesis.images, settings.seed)


def held(origins: Mapping[str, Origin]) -> dict[str, Artefact]:
    """The artefacts among what origins hold, by name."""
    return {name: origin.given for name, origin in origins.items() if isinstance(origin.given, Artefact)}
