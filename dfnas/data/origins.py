"""Where the sources of a search come from: synthetic images, or as many real ones, or as many of a control."""

import contextlib
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

from safetensors.torch import load_file

from dfnas.data import presence, splits, synthetic
from dfnas.data import real as real_data
from dfnas.data.sources import Source
from dfnas.data.teachers import Teacher
from dfnas.profiles import DataSettings, Settings
from dfnas.runtime.artefacts import Artefact

# real has true classes, real_soft the teacher's labels on the same images; control is structured noise that could win,
# noise the paper's.
NAMES = ("synthetic", "real", "real_soft", "control", "noise")


def names(data: DataSettings, among: Iterable[str] = NAMES) -> tuple[str, ...]:
    """Those of some sources that there are: where there are no real images to learn from, the others."""
    return tuple(name for name in among if not name.startswith("real") or presence.has_train(data))


@dataclass(frozen=True)
class Origin:
    """A source before it is read: its name, and the artefact that holds it (or its labels), or real data's digest."""

    name: str
    given: Artefact | str

    def guarded(self) -> AbstractContextManager:
        """A context in which real data is out of reach, unless the source is real data."""
        return contextlib.nullcontext() if self.name.startswith("real") else splits.no_real_data()

    def load(self, settings: Settings, teacher: Teacher) -> Source:
        """The source. Real ones have as many images as the synthetic set (or all there are)."""
        held = self.given.folder if isinstance(self.given, Artefact) else None
        if held and not self.name.startswith("real"):
            return synthetic.load(held, teacher)
        source = real_data.train(settings.data, settings.synthesis.images, settings.seed)
        return source.under(teacher).labelled(load_file(held / "logits.safetensors")["logits"]) if held else source


def held(origins: Mapping[str, Origin]) -> dict[str, Artefact]:
    """The artefacts among what origins hold, by name."""
    return {name: origin.given for name, origin in origins.items() if isinstance(origin.given, Artefact)}
