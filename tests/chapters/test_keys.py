"""What a stage reads of the settings is in its key: else a changed setting would find a stale artefact.

Every stage of smoke is run while each field that it reads is written down. Then each field is changed: the stage must
get another key, or leave the same bytes behind.
"""

import contextlib
import dataclasses
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open

from dfnas import profiles
from dfnas.chapters import index
from dfnas.errors import UserError
from dfnas.profiles import settings as kinds
from dfnas.runtime import artefacts, stages
from dfnas.runtime import paths as folders


def copied(part: Any) -> Any:
    """Settings whose every part is an object of its own, so that a part is known by what it is."""
    values = {field.name: getattr(part, field.name) for field in dataclasses.fields(part)}
    return type(part)(**{name: copied(v) if dataclasses.is_dataclass(v) else v for name, v in values.items()})


SMOKE = copied(profiles.load("smoke", 0, ["run.processes=1"]))
CHAPTERS = [name for name in SMOKE.chapters if name not in ("11-kernels", "12-results")]  # times, and other records
KINDS = [kind for kind in vars(kinds).values() if isinstance(kind, type) and dataclasses.is_dataclass(kind)]
# What a field may be that is not just any number.
WORDS = {
    "labels": ("stored", "online", "hard"),
    "padding": ("zero", "reflect"),
    "keep_rounds": ("all", "last"),
    "update": ("region", "jitter", "whole", "reinforce", "gradient"),
    "flip": ("never", "random"),
    "label_view": ("center", "last_crop"),
    "schedule": ("cosine", "linear"),
    "optimiser": ("sgd", "adam"),
    "crop": ("window", "resized"),
    "order": ("first", "second"),
    "cost": ("macs", "latency"),
    "network": ("resnet8", "resnet5"),
    "verifier_network": ("resnet5", "resnet8"),
    "narrow": ("resnet8x0.5", "resnet5"),
    "precision": ("fp32", "bf16"),
}
EMPTY: dict[str, tuple[Any, ...]] = {  # where smoke has nothing
    "milestones": ((0.5,),),
    "resolutions": (((8, 0.5),),),
    "jitter": ((0.2, 0.0, 0.0, 0.0),),
    "bins": ((140_000, 160_000),),
    "mean": ((0.5,),),
    "std": ((0.25,),),
    "class_names": (tuple("abcdefghij"),),
}
VALUES: dict[str, Any] = {  # where a change of one number is refused
    "synthesis.batch": 25,
    "synthesis.stages": ((4, 10, "grow"), (2, 10, "grow"), (1, 11, "grow")),
    "spos.space.widths": (16, 48),
    "spos.space.strides": (2, 1),
    "pruning.network": "resnet14",
    "teacher.shipped": "cifar10-resnet20",
    "distillation.searched": "resnet5",
}
# Of these there is no other value in smoke: another data set, a teacher of one's own, and what a chapter refuses.
UNTRIED = {
    *("data.name", "data.channels", "data.classes", "teacher.path", "teacher.shipped", "synthesis.keep_rounds"),
    *("teacher.mean", "teacher.std"),
    *("darts.search.averaging", "proxylessnas.search.averaging", "proxylessnas.warm_up.averaging"),
    *("calibration.student.mixing", "distillation.comparison.mixing", "pruning.network", "pruning.side"),
    *("spos.space.strides", "calibration.between"),  # which names arms that have their round in their keys
}
MEASURED = "proxyless-latency"  # stages whose files hold times begin so


class Reads:
    """Writes down which fields of a Settings are read, also of parts that were replaced on the way."""

    def __init__(self, settings: kinds.Settings, patch: pytest.MonkeyPatch) -> None:
        self.paths: dict[int, tuple[str, ...]] = {}
        self.replaced: dict[int, set[str]] = {}
        self.alive: list[Any] = []
        self.found: set[tuple[str, ...]] | None = None
        self._know(settings, ())
        for kind in KINDS:
            patch.setattr(kind, "__getattribute__", self._reader(kind))
            patch.setattr(kind, "__hash__", self._hasher(kind.__hash__))
        original = dataclasses.replace

        def replace(part: Any, /, **changes: Any) -> Any:
            with self.during(None):  # to copy a field is not to read it
                new = original(part, **changes)
            if id(part) in self.paths:
                self.alive.append(new)
                self.paths[id(new)] = self.paths[id(part)]
                self.replaced[id(new)] = self.replaced.get(id(part), set()) | set(changes)
            return new

        patch.setattr(dataclasses, "replace", replace)

    def _know(self, part: Any, path: tuple[str, ...]) -> None:
        self.paths[id(part)] = path
        self.alive.append(part)
        for field in dataclasses.fields(part):
            value = getattr(part, field.name)
            if dataclasses.is_dataclass(value):
                self._know(value, (*path, field.name))

    def _reader(self, kind: type) -> Any:
        names = {field.name for field in dataclasses.fields(kind)}

        def read(part: Any, name: str) -> Any:
            value = object.__getattribute__(part, name)
            if self.found is not None and id(part) in self.paths:
                for field in names if name == "__dict__" else names & {name}:
                    leaf = not dataclasses.is_dataclass(object.__getattribute__(part, field))
                    if leaf and field not in self.replaced.get(id(part), ()):
                        self.found.add((*self.paths[id(part)], field))
            return value

        return read

    def _hasher(self, original: Any) -> Any:
        def hashed(part: Any) -> int:
            with self.during(None):  # a cache's key
                return original(part)

        return hashed

    @contextlib.contextmanager
    def during(self, found: set[tuple[str, ...]] | None) -> Any:
        """Inside, reads are added to `found`; None: they are not noted."""
        before, self.found = self.found, found
        try:
            yield
        finally:
            self.found = before


@pytest.fixture(scope="module")
def reads(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """By (chapter, stage, key): the fields that the stage read while it was made."""
    found: dict[tuple[str, str, str], set[tuple[str, ...]]] = defaultdict(set)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DFNAS_RUNS", str(tmp_path_factory.mktemp("runs")))
        recorder, work = Reads(SMOKE, patch), stages._work

        def watched(name: str, key: str, folder: Path, function: Any, settings: Any, inputs: Any) -> None:
            def noted(own: Path) -> None:
                with recorder.during(found[chapter, name, key]):
                    function(own)

            work(name, key, folder, noted, settings, inputs)

        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(stages, "_work", watched)
            for chapter in CHAPTERS:
                artefacts.reset()
                index.compute(chapter, SMOKE)
        yield found


def other_values(path: tuple[str, ...], value: Any) -> list[Any]:
    """Values that a field may have instead, in the order in which they are tried."""
    special = [VALUES[name]] if (name := ".".join(path)) in VALUES else []
    return special + [other for other in _candidates(path, value) if other != value]


def _candidates(path: tuple[str, ...], value: Any) -> list[Any]:
    if path[-1] in WORDS and isinstance(value, str):
        return list(WORDS[path[-1]])
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, 8, value * 2, value - 1]
    if isinstance(value, float):
        return [value * 0.75 + 0.01, value / 2]
    if isinstance(value, tuple) and value:
        return [(*value[:-1], other) for other in _candidates(path, value[-1])]
    return list(EMPTY.get(path[-1], ()))


def changed(path: tuple[str, ...], value: Any) -> kinds.Settings:
    """Smoke with one field changed."""

    def put(part: Any, rest: tuple[str, ...]) -> Any:
        new = value if len(rest) == 1 else put(getattr(part, rest[0]), rest[1:])
        return dataclasses.replace(part, **{rest[0]: new})

    return put(SMOKE, path)


def functions(chapter: str, settings: kinds.Settings) -> dict[str, tuple[str, Any]]:
    """By stage name: the key it would have, and the function that would make it."""
    found: dict[str, tuple[str, Any]] = {}
    original = stages.stage

    def noted(name: str, function: Any, *rest: Any, **options: Any) -> Any:
        artefact = original(name, function, *rest, **options)
        found[name] = artefact.key, function
        return artefact

    with pytest.MonkeyPatch.context() as patch, stages.dry():
        patch.setattr(stages, "stage", noted)
        index.compute(chapter, settings)
    return found


def content(folder: Path) -> dict[str, Any]:
    """The files of a stage's folder: tensors by name, all else as bytes; without what stages keep themselves."""
    files: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        if path.name in ("stage.json", "sittings.json") or not path.is_file():
            continue
        if path.suffix == ".safetensors":
            with safe_open(path, "pt") as file:
                files[path.name] = {name: file.get_tensor(name).view(-1).tolist() for name in sorted(file.keys())}
        elif path.suffix in (".json", ".jsonl"):
            files[path.name] = path.read_bytes()
    return files


def test_the_recorder_sees_what_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder, found = Reads(SMOKE, monkeypatch), set()
    with recorder.during(found):
        assert SMOKE.spos.scratch.side >= 0
        hard = dataclasses.replace(SMOKE.student, labels="hard")
        assert (hard.labels, hard.network) == ("hard", SMOKE.student.network)
        assert vars(SMOKE.spos.evolution)["population"]
    assert found >= {("spos", "scratch", "side"), ("student", "network"), ("spos", "evolution", "tries")}
    assert not found & {("student", "labels"), ("student", "temperature"), ("calibration", "student", "network")}


@pytest.mark.slow
@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_field_that_a_stage_reads_is_in_its_key(chapter: str, reads: Any, tmp_path: Path) -> None:
    mine = {(name, key): fields for (where, name, key), fields in reads.items() if where == chapter}
    paths = {path for fields in mine.values() for path in fields} - {("seed",)}
    how = {path for path in paths if path[0] in ("run", "profile", "chapters", "overrides")}
    paths -= how - {("run", "precision")}  # the one field of a run that changes results
    stale, untried = [], []
    for path in sorted(paths):
        value: Any = SMOKE
        for name in path:
            value = getattr(value, name)
        for other in other_values(path, value):
            with contextlib.suppress(UserError, ValueError):
                variant = functions(chapter, changed(path, other))
                break
        else:
            untried.append(".".join(path))
            continue
        for (name, key), fields in mine.items():
            if path in fields and variant.get(name, ("", None))[0] == key and not name.startswith(MEASURED):
                there = next(folders.runs().glob(f"stages/{name}-{key[:12]}"))
                again = tmp_path / f"{name}-{'.'.join(path)}"
                again.mkdir()
                artefacts.reset()
                variant[name][1](again)
                if content(again) != content(there):
                    stale.append(f"{name} reads {'.'.join(path)}, which is not in its key")
    assert stale == []
    assert set(untried) <= UNTRIED
