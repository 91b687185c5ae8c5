"""How an iteration of model inversion grows with images, with their side and with channels."""

from typing import Any

from benchmarks import measure
from benchmarks.synthesis_step import ours
from dfnas.profiles import RunSettings

RUN = RunSettings("cpu", "fp32")  # eager: a program a size would be compiled, and the compiling is not the point


def rows() -> list[dict[str, Any]]:
    """Slopes of log seconds over log size."""
    return [
        measure.growth("synthesis_step", "images", (32, 64, 128, 256), lambda size: ours(size, RUN)),
        measure.growth("synthesis_step", "side", (16, 24, 32, 48), lambda side: ours(64, RUN, side=side)),
        measure.growth("synthesis_step", "channels", (8, 16, 32), lambda width: ours(64, RUN, width / 16)),
    ]


if __name__ == "__main__":
    print(*rows(), sep="\n")
