"""Generated images of seven shapes, and what the own-network chapter ships: `python tests/shapes.py FOLDER` makes it.

The network there was trained on 7,000 of these images, which were then thrown away; images.zip holds 140 others.
"""

import io
import math
import sys
import zipfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from safetensors.torch import save_file
from torch import Tensor, nn

CLASSES = ("disc", "ring", "square", "triangle", "cross", "star", "stripes")
SCALE = 4  # drawn so much larger, then shrunk: smooth edges


def image(kind: int, side: int, generator: np.random.Generator) -> Image.Image:
    """One bright shape in a colour of its own, at any turn, on a dark and shaded ground, with a little noise."""
    ground, ink = generator.uniform(0, 80, 3), generator.uniform(120, 255, 3)
    shade = generator.uniform(-40, 40, 2)
    rows, columns = np.mgrid[-0.5 : 0.5 : side * 1j, -0.5 : 0.5 : side * 1j]
    picture = ground + (shade[0] * rows + shade[1] * columns)[..., None]
    mask = np.asarray(_mask(kind, side, generator), dtype=float)[..., None] / 255
    picture = picture * (1 - mask) + ink * mask + generator.normal(0, 8, (side, side, 3))
    return Image.fromarray(picture.clip(0, 255).astype(np.uint8))


def _mask(kind: int, side: int, generator: np.random.Generator) -> Image.Image:
    large = side * SCALE
    canvas = Image.new("L", (large, large))
    draw = ImageDraw.Draw(canvas)
    radius = generator.uniform(0.32, 0.42) * large
    x, y = generator.uniform(radius, large - radius, 2)
    turn = generator.uniform(0, 2 * math.pi)

    def corners(count: int, inner: float = 1.0) -> list[tuple[float, float]]:
        angles = [turn + 2 * math.pi * number / count for number in range(count)]
        return [
            (x + radius * share * math.cos(angle), y + radius * share * math.sin(angle))
            for angle, share in zip(angles, [1.0, inner] * count, strict=False)
        ]

    def bar(offset: float, width: float, angle: float) -> None:
        across, along = (-math.sin(angle), math.cos(angle)), (math.cos(angle), math.sin(angle))
        ends = [(sign, other) for sign, other in ((-1, -1), (-1, 1), (1, 1), (1, -1))]
        points = [
            tuple(
                centre + radius * (sign * along[axis] + (offset + other * width) * across[axis])
                for axis, centre in enumerate((x, y))
            )
            for sign, other in ends
        ]
        draw.polygon(points, fill=255)

    box = (x - radius, y - radius, x + radius, y + radius)
    if CLASSES[kind] in ("disc", "ring"):
        draw.ellipse(box, fill=255)
    if CLASSES[kind] == "ring":
        draw.ellipse((x - radius * 0.55, y - radius * 0.55, x + radius * 0.55, y + radius * 0.55), fill=0)
    elif CLASSES[kind] == "square":
        draw.polygon(corners(4), fill=255)
    elif CLASSES[kind] == "triangle":
        draw.polygon(corners(3), fill=255)
    elif CLASSES[kind] == "cross":
        bar(0, 0.25, turn)
        bar(0, 0.25, turn + math.pi / 2)
    elif CLASSES[kind] == "star":
        draw.polygon(corners(10, 0.4), fill=255)
    elif CLASSES[kind] == "stripes":
        for offset in (-0.7, 0.0, 0.7):
            bar(offset, 0.18, turn)
    return canvas.resize((side, side), Image.Resampling.BOX)


def images(each: int, side: int, seed: int) -> tuple[Tensor, Tensor]:
    """uint8 [7 * each, 3, side, side] and their classes, in turn."""
    generator = np.random.default_rng(seed)
    classes = torch.arange(len(CLASSES)).repeat(each)
    pixels = np.stack([np.asarray(image(int(kind), side, generator)) for kind in classes])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(), classes


def train(network: nn.Module, pixels: Tensor, classes: Tensor, epochs: int, rate: float = 0.1) -> nn.Module:
    """Train a network on images normalised by 0.5 and 0.25, mirrored and moved by two pixels at most."""
    torch.manual_seed(0)
    inputs = (pixels.float() / 255 - 0.5) / 0.25
    optimiser = torch.optim.SGD(network.parameters(), rate, 0.9, weight_decay=5e-4, nesterov=True)
    steps = epochs * (len(inputs) // 128)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, steps)
    for step in range(steps):
        rows = torch.randint(len(inputs), (128,))
        batch = inputs[rows].roll(tuple(torch.randint(-2, 3, (2,)).tolist()), (2, 3))
        batch = batch.flip(3) if step % 2 else batch
        loss = nn.functional.cross_entropy(network.train()(batch), classes[rows], label_smoothing=0.02)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return network.eval()


def archive(path: Path, each: int, side: int, seed: int) -> None:
    """A zip of test/<class>/*.png."""
    generator = np.random.default_rng(seed)
    with zipfile.ZipFile(path, "w") as file:
        for kind, name in enumerate(CLASSES):
            for number in range(each):
                buffer = io.BytesIO()
                image(kind, side, generator).save(buffer, "PNG", optimize=True)
                file.writestr(zipfile.ZipInfo(f"test/{name}/{number:02}.png", (2026, 1, 1, 0, 0, 0)), buffer.getvalue())


def main(folder: Path) -> None:
    """Train the network that is shipped, on images that are not kept, and draw the few that turn up afterwards."""
    sys.path.insert(0, str(folder))
    import shapes_network

    torch.manual_seed(0)
    network = train(shapes_network.build(), *images(1000, 32, seed=0), epochs=16)
    pixels, classes = images(300, 32, seed=1)
    with torch.no_grad():
        answers = network((pixels.float() / 255 - 0.5) / 0.25).argmax(1)
    print(f"{(answers == classes).double().mean():.4f} of {len(classes)} images that it never saw")
    save_file(network.state_dict(), folder / "weights.safetensors")
    (folder / "classes.txt").write_text("\n".join(CLASSES) + "\n", encoding="utf-8")
    archive(folder / "images.zip", 20, 32, seed=2)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
