"""How steps of synthesis and of a DARTS search grow with images, with their side and with channels."""

from typing import Any

from benchmarks import darts_step, measure
from benchmarks.synthesis_step import ours
from dfnas.profiles import RunSettings

RUN = RunSettings("cpu", "fp32")  # eager: a program a size would be compiled, and the compiling is not the point


def rows() -> list[dict[str, Any]]:
    """Slopes of log seconds over log size."""
    return [
        measure.growth("synthesis_step", "images", (32, 64, 128, 256), lambda size: ours(size, RUN)),
        measure.growth("synthesis_step", "side", (16, 24, 32, 48), lambda side: ours(64, RUN, side=side)),
        measure.growth("synthesis_step", "channels", (8, 16, 32), lambda width: ours(64, RUN, width / 16)),
        measure.growth("darts_step", "images", (16, 32, 64, 128), lambda size: darts_step.step(8, batch=size)),
        measure.growth("darts_step", "side", (8, 16, 24, 32), lambda side: darts_step.step(8, batch=16, side=side)),
        measure.growth("darts_step", "channels", (8, 16, 32), lambda width: darts_step.step(width, batch=16)),
    ]


if __name__ == "__main__":
    print(*rows(), sep="\n")
