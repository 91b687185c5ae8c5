"""The whole book in miniature: every notebook executed, every page rendered strictly, every mistake one line."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import torch

from dfnas import models, profiles
from dfnas.publishing import handout, notebooks
from dfnas.runtime import paths

pytestmark = pytest.mark.slow


def dfnas(runs: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "dfnas", *arguments],
        env={**os.environ, "DFNAS_RUNS": str(runs), **environment},
        cwd=runs.parent,
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("smoke") / "runs"
    folder.mkdir()
    result = dfnas(folder, "run", "--profile", "smoke")
    assert result.returncode == 0, result.stdout + result.stderr
    return folder


def record(runs: Path, name: str) -> dict:
    return json.loads((runs / "smoke" / f"{name}.json").read_bytes())


@pytest.mark.parametrize("name", profiles.CHAPTERS)
def test_every_chapter_runs_and_its_record_is_good(runs, name):
    found = record(runs, name)
    assert found["verdict"] == "good"
    assert found["complete"]
    assert found["profile"] == "smoke"
    assert found["seconds"] > 0
    assert found["stages"]


def test_records_hold_the_metrics_that_every_profile_has(runs):
    students = ("hard", "round0", "calibrated", "online", "jitter", "noregion", "control", "noise", "real_same_count")
    chapters = {
        "00-own-network": {"classes", "side", "batch_norm_layers", "images", "student_agreement", "files"},
        "01-teacher": {"teacher_accuracy", "teacher_macs", "teacher_parameters"},
        "02-synthesis": {
            "images",
            "iterations",
            "verifier_accuracy",
            "image_iterations_per_second",
            "batch_norm_distance",
            "batch_norm_distance_real",
            "student_accuracy",
            "student_accuracy_std",
            "student_accuracy_n",
        },
        "03-calibration": {f"student_accuracy_{arm}{part}" for arm in students for part in ("", "_std", "_n")},
    }
    sources = ("synthetic", "real", "control")
    arms = (*(f"{arm}_{name}" for arm in ("found_on", "random_for") for name in sources), "random")
    for name in ("04-darts", "05-spos", "06-proxylessnas"):
        chapters[name] = {f"{arm}{part}" for arm in arms for part in ("", "_std", "_n", "_macs")}
    pruned = ("pruned_on_synthetic", "pruned_on_real", "uniform", "random")
    chapters["09-pruning"] = {f"{arm}{part}" for arm in pruned for part in ("", "_std", "_n")}
    chapters["09-pruning"] |= {"pruned_macs", "full_macs", "teacher_accuracy"}
    correlations = ("synthetic_real", "control_real", "noise_real", "real_real", "difference")
    kinds = ("tau", "spearman", "pearson", "spos_tau")
    chapters["07-consistency"] = {
        f"{kind}_{pair}{end}" for kind in kinds for pair in correlations for end in ("", "_low", "_high")
    }
    chapters["08-truth"] = {
        f"{front}_{name}{end}"
        for front, names in {
            "tau": ("synthetic", "real_hard", "real_soft", "control", "noise", "parameters", "macs", "synflow"),
            "regret_evolution": ("synthetic", "real_hard", "real_soft", "control", "random"),
        }.items()
        for name in names
        for end in ("", "_low", "_high")
    }
    chapters["08-truth"] |= {"table_name", "table_digest", "architectures"}
    chapters["10-distillation"] = {
        "student_accuracy",
        "student_accuracy_real_same_count",
        "student_accuracy_real_all",
        "teacher_accuracy",
    }
    for name, expected in chapters.items():
        assert expected <= set(record(runs, name)["metrics"])


def test_the_book_renders_strictly(runs):
    result = dfnas(runs, "render", "--profile", "smoke")
    assert result.returncode == 0, result.stdout + result.stderr
    index = Path(result.stdout.strip().splitlines()[-1])
    assert index.name == "index.html"
    pages = [next(index.parent.rglob(f"{name}.html")).read_text(encoding="utf-8") for name in profiles.CHAPTERS]
    assert all("smoke" in page and "run-card" in page for page in pages)


def test_status_tells_that_all_is_done(runs):
    result = dfnas(runs, "status", "--profile", "smoke")
    assert result.returncode == 0
    assert result.stdout.count("good") == len(profiles.CHAPTERS)


def test_a_second_run_computes_nothing(runs):
    before = {path: path.stat().st_mtime_ns for path in (runs / "smoke").glob("*.json")}
    assert dfnas(runs, "run", "--profile", "smoke").returncode == 0
    assert before == {path: path.stat().st_mtime_ns for path in before}


def in_another_folder(runs: Path, folder: Path, *command: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "DFNAS_RUNS": str(runs), "PYTHONPATH": str(paths.root())}
    return subprocess.run([sys.executable, "-m", *command], env=environment, cwd=folder, capture_output=True, text=True)


def test_plain_papermill_runs_a_chapter(runs, tmp_path):
    source, out = str(paths.root() / "notebooks" / "01-teacher.ipynb"), tmp_path / "out.ipynb"
    result = in_another_folder(runs, tmp_path, "papermill", source, str(out), "-p", "profile", "smoke")
    assert result.returncode == 0, result.stderr
    assert '"output_type": "error"' not in out.read_text(encoding="utf-8")
    misspelt = in_another_folder(runs, tmp_path, "papermill", source, str(out), "-p", "profil", "smoke")
    assert misspelt.returncode != 0
    assert "profil" in misspelt.stderr


def test_jupyter_execute_runs_a_chapter_whose_parameters_were_edited_by_hand(runs, tmp_path):
    mine = tmp_path / "mine.ipynb"
    text = (paths.root() / "notebooks" / "01-teacher.ipynb").read_text(encoding="utf-8")
    assert r"profile: str = \"quick\"" in text
    mine.write_text(text.replace(r"profile: str = \"quick\"", r"profile: str = \"smoke\""), encoding="utf-8")
    result = in_another_folder(runs, tmp_path, "jupyter", "execute", "--inplace", str(mine))
    assert result.returncode == 0, result.stderr
    cells = [cell for cell in json.loads(mine.read_bytes())["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))


@pytest.mark.parametrize("name", profiles.CHAPTERS)
def test_solutions_pass_the_checks_of_the_handout_and_stubs_do_not(runs, name, monkeypatch):
    for variable in ("DFNAS_DATA", "DFNAS_DEVICE", "DFNAS_FORCE", "DFNAS_LOG", "DFNAS_STAGING"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("DFNAS_RUNS", str(runs))
    chapter = notebooks.read_notebook(notebooks.source(name))
    solutions = iter([cell.source for cell in chapter.cells if handout.TAG in cell.metadata.get("tags", [])])
    names = {"__name__": "__main__"}
    for cell in [cell for cell in handout.notebook(chapter).cells if cell.cell_type == "code"]:
        tags = cell.metadata.get("tags", [])
        if "check" in tags:
            with pytest.raises(AssertionError, match="is not answered yet"):
                exec(cell.source, names)
            exec(next(solutions), names)
        exec(cell.source, names)
        names |= {"profile": "smoke"} if "parameters" in tags else {}
    assert next(solutions, None) is None


def test_a_student_executes_the_handout_on_a_copy_of_the_classs_stages(runs, tmp_path):
    made = dfnas(runs, "handout", "01-teacher", "--out", str(tmp_path))
    path = Path(made.stdout.strip())
    assert path == tmp_path / "01-teacher-student.ipynb"
    notebook, chapter = notebooks.read_notebook(path), notebooks.read_notebook(notebooks.source("01-teacher"))
    solutions = [cell.source for cell in chapter.cells if handout.TAG in cell.metadata.get("tags", [])]
    stubs = [cell for cell in notebook.cells if "answer" in cell.metadata.get("tags", [])]
    for stub, solution in zip(stubs, solutions, strict=True):
        stub.source = solution
    nbformat.write(notebook, path)
    shutil.copytree(runs / "stages", tmp_path / "own" / "stages")
    before = sorted((tmp_path / "own" / "stages").glob("*"))
    result = in_another_folder(tmp_path / "own", tmp_path, "papermill", str(path), str(path), "-p", "profile", "smoke")
    assert result.returncode == 0, result.stderr
    assert sorted((tmp_path / "own" / "stages").glob("*")) == before


def test_chapter_1_reports_a_network_that_was_trained_elsewhere(runs, tmp_path):
    path = tmp_path / "own.pt"
    torch.save(models.build("resnet5", 10, 1, seed=0).state_dict(), path)
    (tmp_path / "theirs.py").write_text(
        "from dfnas import models\ndef net():\n    return models.build('resnet5', 10, 1)\n", encoding="utf-8"
    )
    chosen = ["--set", f"teacher.path={path}", "--set", "teacher.builder=theirs:net"]
    search = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    result = dfnas(runs, "run", "01-teacher", "--profile", "smoke", *chosen, PYTHONPATH=search)
    assert result.returncode == 0, result.stdout + result.stderr


def one_line(result: subprocess.CompletedProcess) -> str:
    lines = [line for line in result.stderr.splitlines() if line.startswith("dfnas: ")]
    assert result.returncode == 2, result.stdout + result.stderr
    assert len(lines) == 1, result.stderr
    assert "Traceback" not in result.stderr
    return lines[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--profile", "smoke", "--set", "synthesis.iteratoins=5"], "iteratoins"),
        (["run", "--profile", "fast"], "fast"),
        (["run", "12-nothing", "--profile", "smoke"], "12-nothing"),
        (["run", "01-teacher", "--profile", "laptop", "--data", "/nowhere"], "/nowhere"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_lost(runs, arguments, message):
    before = sorted(runs.rglob("*.json"))
    assert message in one_line(dfnas(runs, *arguments))
    assert set(before) <= set(runs.rglob("*.json"))


def test_a_truncated_shard_is_one_line(runs, tmp_path):
    mine = tmp_path / "runs"
    shutil.copytree(runs, mine)
    key = record(runs, "03-calibration")["stages"]["synthesis"]["key"][:12]  # chapter 0 has a set of this name, too
    shard = sorted(mine.glob(f"stages/synthesis-{key}/round-*.safetensors"))[0]
    shard.write_bytes(shard.read_bytes()[:-50])
    line = one_line(dfnas(mine, "run", "03-calibration", "--profile", "smoke", "--set", "calibration.seeds=3"))
    assert shard.name in line
    assert shard.exists()
    assert json.loads((mine / "smoke" / "03-calibration.json").read_bytes())["verdict"] == "good"


def test_a_teacher_with_seven_classes_is_one_line(runs, tmp_path):
    path = tmp_path / "seven.pt"
    torch.save(models.build("resnet8", 7, 1).state_dict(), path)
    (tmp_path / "seven.py").write_text(
        "from dfnas import models\ndef network():\n    return models.build('resnet8', 7, 1)\n", encoding="utf-8"
    )
    chosen = ["--set", f"teacher.path={path}", "--set", "teacher.builder=seven:network"]
    search = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    result = dfnas(runs, "run", "02-synthesis", "--profile", "smoke", *chosen, PYTHONPATH=search)
    assert "7 classes" in one_line(result)


def test_no_notebook_asks_which_profile_it_is_in():
    for path in (paths.root() / "notebooks").glob("*.ipynb"):
        code = "\n".join(
            "".join(cell["source"]) for cell in json.loads(path.read_bytes())["cells"] if cell["cell_type"] == "code"
        )
        assert "profile ==" not in code
        assert "settings.profile" not in code
        assert not any(f'"{name}"' in code for name in profiles.NAMES if name != "quick")
