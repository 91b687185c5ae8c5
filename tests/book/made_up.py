"""A tiny made-up book, to test the machinery of the real one: three pages with invented records.

Nothing in it was ever computed, and its pages say so.
"""

import base64
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import yaml
from matplotlib.figure import Figure
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
CHAPTERS = ("01-teacher", "02-synthesis", "03-calibration")


def record(name: str, **changes: Any) -> dict[str, Any]:
    """An invented record of a good run."""
    return {
        "name": name,
        "complete": True,
        "verdict": "good",
        "profile": "made-up",
        "seed": 3,
        "overrides": [],
        "commit": "0abc123",
        "clean": True,
        "stages": {"pretend": {"key": "f00d" * 10, "seconds": 61.4, "peak_memory_mb": 812.0}},
        "seconds": 185.2,
        "peak_memory_mb": 1234.5,
        "versions": {"python": "3.11.7", "torch": "2.14.1"},
        "machine": {"cpu": "an imagined processor", "cores": 2, "threads": 1, "memory_gb": 8.0, "gpu": None},
        "started": "2026-01-02T03:04:05+00:00",
        "metrics": {
            "teacher_accuracy": 0.8123,
            "teacher_parameters": 271098,
            "note": "invented",
            "difference_noise_round0": -20.0,
            "difference_noise_round0_low": -24.5,
            "difference_noise_round0_high": -15.5,
        },
        "attachments": [],
    } | changes


def picture(seed: int) -> str:
    """A random 8x8 image as a data address."""
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize((32, 32)).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def explorer(rounds: int = 4, slots: int = 5) -> dict[str, Any]:
    """Invented soft labels that grow softer with each round."""
    generator = np.random.default_rng(0)
    entries = []
    for slot in range(slots):
        own = slot % len(CLASSES)
        scores = generator.normal(size=(rounds, len(CLASSES)))
        scores[:, own] += np.linspace(6, 2.5, rounds)
        labels = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
        images = [picture(slot * rounds + index) for index in range(rounds)]
        entries.append({"slot": slot * 7, "class": own, "labels": labels.round(4).tolist(), "images": images})
    return {"classes": CLASSES, "rounds": rounds, "slots": entries}


def frames(classes: int = 3, moments: int = 7, side: int = 8) -> dict[str, Any]:
    """Invented images on their way: the tile of variant v, image i and moment m is grey, 55 v + 20 i + 2 m."""
    variants = [[], ["batch-norm statistics"], ["cross-entropy"], ["batch-norm statistics", "cross-entropy"]]
    tiles = [[[55 * v + 20 * i + 2 * m for m in range(moments)] for i in range(classes)] for v in range(len(variants))]
    pixels = np.array(tiles, dtype=np.uint8).reshape(-1, moments).repeat(side, 0).repeat(side, 1)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    terms = [[[2.0 / (m + 1), 3.0, 0.5, 8.0, 5.0 - 0.5 * m] for m in range(moments)] for _ in variants]
    sheet = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
    times = [m * m for m in range(moments)]
    return {"iterations": times, "classes": CLASSES[:classes], "variants": variants, "terms": terms, "sheet": sheet}


def population() -> dict[str, Any]:
    """Two invented searches of three generations of four candidates, each better than the one before."""
    candidates = [f"{i // 4}{i % 4}{i % 3}0" for i in range(12)]
    columns = {
        "generation": [i // 4 for i in range(12)],
        "origin": [("random", "mutation", "crossover", "random")[i % 4] for i in range(12)],
        "score": [0.1 + i / 20 for i in range(12)],
        "macs": [1_000_000 + 50_000 * (i % 5) for i in range(12)],
        "candidate": candidates,
    }
    other = columns | {"score": [0.9 - i / 20 for i in range(12)]}
    choices = ["shuffle_3x3", "shuffle_5x5", "shuffle_7x7", "xception"]
    stages = [[16, 1, 2], [32, 2, 2]]
    return {"limit": 1_200_000, "choices": choices, "stages": stages, "searches": {"synthetic": columns, "real": other}}


def architectures() -> dict[str, Any]:
    """Six invented cells; one judge ranks them as the table does, the other the other way round."""
    operations = ["none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"]
    accuracies = [0.90, 0.91, 0.92, 0.93, 0.94, 0.935]
    cells = ["333333", "012340", "111111", "000003", "432104", "222222"]
    scores = {"synthetic": accuracies, "parameters": [-accuracy for accuracy in accuracies]}
    shown = {"kind": "cell", "choices": operations, "candidate": cells, "accuracy": accuracies}
    return shown | {"best": 0.95, "scores": scores}


def attachments() -> dict[str, tuple[str, dict[str, Any]]]:
    """What invented runs attached: its name and the data, by the run's."""
    return {
        "02-synthesis": ("frames", frames()),
        "03-calibration": ("explorer", explorer()),
        "05-spos": ("population", population()),
        "08-truth": ("architectures", architectures()),
    }


def plot() -> str:
    """An SVG with a white background, as the notebooks leave them."""
    figure = Figure(figsize=(6, 3))
    axes = figure.subplots()
    axes.plot(np.linspace(2.3, 0.1, 20))
    axes.set(xlabel="iteration", ylabel="made-up loss")
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg")
    return buffer.getvalue()


def figure_cell(name: str) -> nbformat.NotebookNode:
    """A cell that shows a figure with name, caption and alt text."""
    data = {"image/svg+xml": plot(), "text/plain": "<Figure>"}
    cell = new_code_cell("figures.show(loss)", outputs=[new_output("display_data", data=data)], execution_count=2)
    cell.metadata = nbformat.from_dict(
        {
            "tags": ["hide-input"],
            "mystnb": {
                "figure": {
                    "name": name,
                    "caption": "An invented loss, of {num}`01-teacher:teacher_accuracy|.1%`.",
                },
                "image": {"alt": "A curve that falls."},
            },
        }
    )
    return cell


TABLE = """
| arm | accuracy | standard deviation | number of seeds | images | steps | labels from |
| --- | --- | --- | --- | --- | --- | --- |
| hard labels, canvas of round zero | 1 | 2 | 3 | 4 | 5 | an imagined teacher |
"""
PROSE = r"""
This chapter is **made up**: nothing here was computed. See {ref}`ch-teacher` and
{numref}`fig-03-calibration`.
The teacher gets {num}`01-teacher:teacher_accuracy|.1%` with {num}`01-teacher:teacher_parameters` parameters;
the sum is in {impl}`dfnas.errors.UserError`.

```{finding} images-above-noise
holds: The invented images win: {estimate}, or {num}`01-teacher:teacher_accuracy|.1%`.

They do so on *every* page.
does_not_hold: They lose, by {num}`01-teacher:no_such_metric`.
not_decided: Nobody knows.
cannot_tell: Nobody can know: {reason}.
not_run: Nobody looked.
```

```{claim}
images-above-noise
tau-above-control
```

$$
\mathcal{L} = \alpha_{\mathrm{ce}} \mathcal{L}_{\mathrm{ce}}
+ \alpha_{\mathrm{tv2}} \mathcal{L}_{\mathrm{tv2}}
+ \alpha_{\mathrm{bn}} \sum_{l=1}^{L} w_l \left( \lVert m_l - \mu_l \rVert_2
+ \lVert v_l - \sigma_l^2 \rVert_2 \right) + \cdots
$$
"""
EXERCISE = """
```{exercise} Halve it
:label: ex-NAME
What happens at half the weight?
```

```{solution} ex-NAME
Nothing, it is made up.
```
"""
EXPLORER = """
## Explore

```{calibration-explorer}
:name: fig-explorer
:alt: Bars of invented labels, one column a round.

Made-up labels, round after round.
```
"""
EXPLORERS = """
## Explore

```{synthesis-frames}
:name: fig-frames
:alt: Invented images, one column a moment.

Made-up images on their way.
```

```{population-explorer}
:name: fig-population
:alt: Invented candidates as points.

Made-up candidates.
```

```{regret-explorer}
:name: fig-regret
:alt: Invented architectures as points.

Made-up architectures.
```
"""


def front() -> list[str]:
    """The pages of the real book that no run made."""
    parts = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))["parts"]
    pages = [chapter["file"] for part in parts for chapter in part["chapters"]]
    return [page for page in pages if not page.startswith("book/executed/")]


def notebook(name: str) -> nbformat.NotebookNode:
    """An 'executed' notebook with prose, a figure, an equation, a table and an exercise."""
    code = new_code_cell(
        "synthetic = synthesise(teacher, settings.synthesis, device=device, keep_rounds='all', seed=seed)",
        outputs=[new_output("stream", name="stdout", text="made up\n")],
        execution_count=1,
    )
    parameters = new_code_cell('profile: str = "quick"\nseed: int = 0\noverrides: list = []', execution_count=1)
    parameters.metadata["tags"] = ["parameters", "hide-input"]
    text = [new_markdown_cell(part) for part in (PROSE, TABLE, EXERCISE.replace("NAME", name))]
    title = new_markdown_cell(f"(ch-{name.partition('-')[2]})=\n# Made-up chapter {name}")
    cells = [title, parameters, text[0], code, figure_cell(f"fig-{name}"), text[1], text[2]]
    if name == "03-calibration":
        cells.append(new_markdown_cell(EXPLORER))
    if name == "02-synthesis":
        cells.append(new_markdown_cell(EXPLORERS))
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return new_notebook(cells=cells, metadata=kernel)


def write(folder: Path, repository: str = "") -> Path:
    """Write the book: the real settings, extension, styles and front matter, with made-up chapters."""
    shutil.copytree(ROOT / "book", folder / "book", ignore=shutil.ignore_patterns("executed", "__pycache__"))
    shutil.copy(ROOT / "index.md", folder)
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    config["repository"]["url"] = repository
    (folder / "_config.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    front = [part for part in toc["parts"] if not part["chapters"][0]["file"].startswith("book/executed/")]
    chapters = {
        "caption": "Chapters",
        "numbered": True,
        "chapters": [{"file": f"book/executed/{n}"} for n in CHAPTERS],
    }
    (folder / "_toc.yml").write_text(yaml.safe_dump(toc | {"parts": [*front, chapters]}), encoding="utf-8")
    executed = folder / "book" / "executed"
    executed.mkdir()
    for name in CHAPTERS:
        nbformat.write(notebook(name), executed / f"{name}.ipynb")
        (executed / f"{name}.json").write_text(json.dumps(record(name)), encoding="utf-8")
    for name, (attachment, data) in attachments().items():
        (executed / f"{name}.json").write_text(json.dumps(record(name, attachments=[attachment])), encoding="utf-8")
        (executed / f"{name}.{attachment}.json").write_text(json.dumps(data), encoding="utf-8")
    other = executed / "records" / "quick"  # of another profile, records alone
    other.mkdir(parents=True)
    (other / "01-teacher.json").write_text(json.dumps(record("01-teacher", seconds=65.0)), encoding="utf-8")
    return folder


# what computes, and is not needed to render
COMPUTING = ("torch", "torchvision", "scipy", "sklearn", "matplotlib", "pandas", "onnx", "papermill")


def without(folder: Path, modules: Sequence[str]) -> dict[str, str]:
    """An environment in which a process of Python cannot import some modules; `folder` gets what does it."""
    program = (
        "import sys\n"
        "class Refuse:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.partition('.')[0] in {tuple(modules)!r}:\n"
        "            raise ImportError(name + ' is not to be imported')\n"
        "sys.meta_path.insert(0, Refuse())\n"
    )
    (folder / "sitecustomize.py").write_text(program, encoding="utf-8")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}


def render(source: Path, output: Path, builder: str = "html") -> subprocess.CompletedProcess[str]:
    """Render a book as strictly as the real one is rendered; the pages lie in output/_build/html."""
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build", str(source)]
    command += ["-W", "-n", "--keep-going", "--path-output", str(output), "--builder", builder]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


def complaints(done: subprocess.CompletedProcess[str]) -> str:
    """What the renderer warned of; its last lines where it failed without a warning."""
    lines = (done.stdout + done.stderr).splitlines()
    return "\n".join([line for line in lines if "WARNING" in line or "ERROR" in line] or lines[-15:])
