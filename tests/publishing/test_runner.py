"""The batch runner against each way in which papermill's own verdict misleads, and what it leaves where."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import papermill
import pytest
import tiny

from dfnas import profiles
from dfnas.errors import UserError
from dfnas.publishing import notebooks, runner, status
from dfnas.runtime import paths
from dfnas.runtime.files import write_json

SECONDS = 8  # for a cell: more than the slowest of a tiny notebook on a busy machine
GOOD = "run.record('answer', 42)"


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tiny.Book:
    return tiny.make_book(tmp_path, monkeypatch)


def test_a_good_run_takes_its_place_with_its_record(book: tiny.Book) -> None:
    book.write(GOOD, "run.attach('explorer', {'rounds': 1})")
    state = book.run()
    assert str(state) == "good"
    assert set(book.files()) == {f"{tiny.NAME}{end}" for end in (".ipynb", ".json", ".explorer.json")}
    assert book.record()["metrics"] == {"answer": 42}
    assert book.record()["verdict"] == "good"
    assert book.record()["run_number"] == 1
    assert str(book.state()) == "good"


def test_a_run_is_numbered_where_its_stages_are_others_than_those_of_a_run_before(book: tiny.Book) -> None:
    settings = profiles.load(tiny.PROFILE)
    own, published = (paths.make_folder(folder) for folder in (paths.run_folder(settings), paths.published("smoke")))

    def number(folder: Path, key: str, **facts: int) -> int:
        write_json(folder / f"{tiny.NAME}.json", {"stages": {"teacher": {"key": key}}, **facts})
        return runner.run_number(tiny.NAME, settings, {"stages": {"teacher": {"key": "f00d"}}})

    assert runner.run_number(tiny.NAME, settings, {}) == 1
    assert number(own, "f00d") == 1  # the same again
    assert number(own, "beef") == 2  # what ran before had no number yet
    assert number(own, "beef", run_number=2) == 3
    assert number(own, "f00d", run_number=3) == 3
    assert number(published, "beef", run_number=6) == 7
    elsewhere = profiles.load(tiny.PROFILE, 1)
    assert runner.run_number(tiny.NAME, elsewhere, {}) == 1


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("x = 1\n1 / 0", "cell [5], `1 / 0`: ZeroDivisionError: division by zero"),
        ("import sys\nsys.exit(0)", "cell [5], `sys.exit(0)`: SystemExit: 0"),
        ("import sys\nsys.exit(1)", "cell [5], `sys.exit(1)`: SystemExit: 1"),
        (
            "import os\nos._exit(1)",
            "the kernel died (killed, or out of memory), in cell 5 of 7, `os._exit(1)`",
        ),
        ("import time\ntime.sleep(60)", f"a cell took longer than {SECONDS} s, in cell 5 of 7, `time.sleep(60)`"),
    ],
    ids=["raised", "exit-0", "exit-1", "killed", "timeout"],
)
def test_a_run_that_ends_badly_fails_with_its_cause_and_leaves_the_good_one(
    book: tiny.Book, code: str, why: str
) -> None:
    book.write(GOOD)
    book.run()
    good = book.files()
    book.write(GOOD, code)
    state = book.run(timeout=SECONDS if "sleep" in code else None)
    assert (state.word, state.why) == ("failed", why)
    assert book.files() == good
    kept = book.runs / tiny.PROFILE / "failed"
    assert code in [cell.source for cell in notebooks.read_notebook(kept / f"{tiny.NAME}.ipynb").cells]
    assert book.record(folder="failed")["verdict"] == f"failed: {why}"


def test_a_kernel_killed_after_the_record_was_written_is_no_good_run(book: tiny.Book) -> None:
    book.write(GOOD, "run.finish()\nimport os\nos._exit(0)", finish=False)
    assert book.run().word == "failed"
    assert not book.files()


def test_a_notebook_that_never_finishes_its_record_fails(book: tiny.Book) -> None:
    book.write(GOOD, finish=False)
    assert "run.finish()" in book.run().why


def test_a_cell_that_was_skipped_fails(book: tiny.Book) -> None:
    path = book.write(GOOD, "x = 1")
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[4].metadata["tags"] = ["skip-execution"]
    nbformat.write(notebook, path)
    assert "did not run to its end: `x = 1`" in book.run().why


def test_a_misspelt_parameter_stops_plain_papermill_too(book: tiny.Book, tmp_path: Path) -> None:
    with pytest.raises(papermill.PapermillExecutionError, match="no parameter 'sede'"):
        papermill.execute_notebook(
            book.write(GOOD), tmp_path / "out.ipynb", {"profile": tiny.PROFILE, "sede": 1}, progress_bar=False
        )
    found = status.failure(notebooks.read_notebook(tmp_path / "out.ipynb"), None)
    assert "UserError: no parameter 'sede'" in found


def test_bad_input_inside_a_notebook_is_told_from_a_failure(book: tiny.Book) -> None:
    book.write("from dfnas.errors import UserError\nraise UserError('no data set: give --data')")
    assert book.run().answer == "no data set: give --data"
    book.write("raise ValueError('a defect')")
    assert not book.run().answer


def test_good_and_fresh_is_kept_and_force_runs_again(book: tiny.Book) -> None:
    book.write("import os\nrun.record('forced', os.environ.get('DFNAS_FORCE', ''))")
    book.run()
    before = book.files()
    assert book.run().word == "kept"
    assert book.files() == before
    write_json(book.runs / tiny.PROFILE / f"{tiny.NAME}.json", {**book.record(), "modules": {"dfnas.errors": ""}})
    assert book.state().word == "older code"
    assert book.run().word == "good"  # older code is run again


def test_other_code_or_stage_keys_make_it_stale(book: tiny.Book, monkeypatch: pytest.MonkeyPatch) -> None:
    book.write(GOOD)
    book.run()
    monkeypatch.setattr(status, "stage_keys", lambda name, settings: {"teacher": "0"})
    assert str(book.state()) == "stale (stage teacher has changed)"
    book.write(GOOD, "x = 1")
    assert str(book.state()) == "stale (its code cells have changed)"


@pytest.mark.parametrize(("field", "then", "word"), [("builder", "x", "stale"), ("given_up", "x", "good")])
def test_other_settings_of_the_chapter_make_it_stale_though_no_key_has_them(
    book: tiny.Book, field: str, then: str, word: str
) -> None:
    book.write(GOOD)
    book.run()
    record = book.record()
    del record["parameters"]["teacher"]["network"]  # as of a time when this setting was not there
    record["parameters"]["teacher"][field] = then
    write_json(book.runs / tiny.PROFILE / f"{tiny.NAME}.json", record)
    assert book.state().word == word
    assert ("its settings teacher have changed" in str(book.state())) == (word == "stale")


def test_states_without_a_good_run(book: tiny.Book) -> None:
    book.write("1 / 0")
    assert str(book.state()) == "never run"
    book.run()
    assert str(book.state()) == "failed (cell [4], `1 / 0`: ZeroDivisionError: division by zero)"
    book.write(GOOD)
    book.run()
    assert not (book.runs / tiny.PROFILE / "failed" / f"{tiny.NAME}.json").exists()
    path = book.runs / tiny.PROFILE / f"{tiny.NAME}.ipynb"
    path.write_text(path.read_text(encoding="utf-8").replace("'answer', 42", "'answer', 43"), encoding="utf-8")
    assert book.state().word == "unchecked"
    path.write_text("{", encoding="utf-8")
    assert book.state().word == "failed"


def test_a_good_run_tells_of_a_later_failure(book: tiny.Book) -> None:
    path = book.write("import os\nassert not os.environ.get('DFNAS_DEVICE')")
    book.run()
    runner.execute(path, tiny.NAME, profiles.load(tiny.PROFILE), runner.Options(device="cpu"))
    assert book.state().good
    assert "a later run failed" in book.state().why


def test_kernels_get_data_device_log_and_the_caller_s_folder(
    book: tiny.Book, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    book.write(
        "import os, sys",
        "for name in ('DFNAS_DATA', 'DFNAS_DEVICE', 'DFNAS_LOG'):\n    run.record(name, os.environ[name])",
        "run.record('cwd', os.getcwd())\nrun.record('python', sys.executable)",
        "print('noise', file=sys.__stderr__)",
    )
    monkeypatch.setenv("DFNAS_DATA", str(tmp_path))
    assert book.run(device="cpu").word == "good"
    found, log = book.record()["metrics"], book.runs / tiny.PROFILE / f"{tiny.NAME}.log"
    assert found == {
        "DFNAS_DATA": str(tmp_path),
        "DFNAS_DEVICE": "cpu",
        "DFNAS_LOG": str(log),
        "cwd": str(tmp_path),
        "python": sys.executable,
    }
    assert "noise" in log.read_text(encoding="utf-8")
    assert "TCP" not in log.read_text(encoding="utf-8")
    assert book.record()["parameters"]["run"]["device"] == "cpu"


def test_the_user_s_own_ipython_adds_nothing_to_a_run(
    book: tiny.Book, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every value of a cell shown, code of their own at the start, figures in a window: this is their own affair."""
    profile, startup = tmp_path / "ipython" / "profile_default", tmp_path / "startup.py"
    for file, text in {
        profile / "ipython_config.py": "get_config().InteractiveShell.ast_node_interactivity = 'all'",
        profile / "startup" / "first.py": "mine = 1",
        startup: "theirs = 1",
    }.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    for name, value in {"IPYTHONDIR": profile.parent, "PYTHONSTARTUP": startup, "MPLBACKEND": "agg"}.items():
        monkeypatch.setenv(name, str(value))
    path = book.write("1\n2", "import matplotlib.pyplot as plt\nplt.plot([0, 1]);", GOOD)
    assert str(book.run()) == "good"
    cells = notebooks.read_notebook(book.runs / tiny.PROFILE / path.name).cells
    kinds = [[output.output_type for output in cell.outputs] for cell in cells if "outputs" in cell]
    assert kinds[-5:] == [["execute_result"], ["display_data"], [], [], []]
    assert not list((book.runs / tiny.PROFILE / ".running").iterdir())


def test_a_kernel_that_cannot_start_is_told_as_such(
    book: tiny.Book, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book.write(GOOD)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "ipykernel_launcher.py").write_text("import no_such_module", encoding="utf-8")
    with pytest.raises(UserError, match=r"no kernel starts here \(.*No module named 'no_such_module'\): see /.*log$"):
        book.run()
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    with pytest.raises(UserError, match=r"no kernel starts here \(.*No such file or directory: .*no-python'"):
        book.run()
    assert str(book.state()) == "never run"


def test_a_figure_is_saved_as_the_same_svg_each_time(book: tiny.Book) -> None:
    book.write("import matplotlib.pyplot as plt\nplt.plot([0, 1]);")
    pictures = []
    for _ in range(2):
        book.run(force=False, timeout=60)
        cells = notebooks.read_notebook(book.runs / tiny.PROFILE / f"{tiny.NAME}.ipynb").cells
        data = [output.data for cell in cells for output in cell.get("outputs", []) if "data" in output]
        pictures.append(["".join(item["image/svg+xml"]) for item in data if "image/svg+xml" in item])
        (book.runs / tiny.PROFILE / f"{tiny.NAME}.json").unlink()
    assert len(pictures[0]) == 1
    assert pictures[0] == pictures[1]


def test_leftovers_of_a_killed_runner_are_swept(book: tiny.Book) -> None:
    folder = book.runs / tiny.PROFILE
    with runner.staging_folder(folder, tiny.NAME) as mine:
        process = subprocess.Popen([sys.executable, "-c", ""])
        process.wait()
        left = mine.with_name(mine.name.rpartition("@")[0] + f"@{process.pid}")
        left.mkdir()
    with runner.staging_folder(folder, tiny.NAME):
        assert not left.exists()
        assert runner.is_running(folder, tiny.NAME)
    assert not runner.is_running(folder, tiny.NAME)
    assert not list((folder / ".running").iterdir())


def test_a_missing_or_broken_source_is_one_line(book: tiny.Book) -> None:
    with pytest.raises(UserError, match="is missing"):
        book.run()
    book.write(GOOD).write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match="cannot read"):
        book.run()


def test_a_full_disk_while_the_notebook_is_saved_is_one_line(book: tiny.Book, monkeypatch: pytest.MonkeyPatch) -> None:
    book.write(GOOD)

    def full(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(papermill, "execute_notebook", full)
    with pytest.raises(UserError, match="No space left on device"):
        book.run()


@pytest.mark.parametrize("tool", ["papermill", "jupyter execute"])
def test_notebooks_run_by_other_tools_from_anywhere(book: tiny.Book, tmp_path: Path, tool: str) -> None:
    source, out = book.write(GOOD), tmp_path / "out.ipynb"
    commands = {
        "papermill": [
            "-m",
            "papermill",
            str(source),
            str(out),
            "-p",
            "profile",
            tiny.PROFILE,
            "--no-progress-bar",
        ],
        "jupyter execute": ["-c", "from nbclient.cli import main; main()", str(source), f"--output={out}"],
    }
    done = subprocess.run(
        [sys.executable, *commands[tool]],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env=dict(os.environ),
    )
    assert done.returncode == 0, done.stderr
    record = json.loads((book.runs / tiny.PROFILE / f"{tiny.NAME}.json").read_bytes())
    assert record["complete"] is True
    assert record["verdict"] == "unchecked"
    assert book.state().word == "unchecked"
    assert status.failure(notebooks.read_notebook(out), record) == ""
