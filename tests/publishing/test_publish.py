"""The publish gate: only good runs pass, in a form that does not change from run to run."""

import json
from pathlib import Path

import nbformat
import pytest
import tiny

from dfnas import profiles
from dfnas.errors import UserError
from dfnas.publishing import notebooks, status
from dfnas.publishing import publish as publishing
from dfnas.runtime import paths
from dfnas.runtime.files import write_json

GOOD = "run.record('answer', 42)\nprint(run.settings.seed)"


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tiny.Book:
    return tiny.make_book(tmp_path, monkeypatch)


def publish(profile: str = "laptop", names: tuple[str, ...] = (tiny.NAME,)) -> list[Path]:
    return publishing.publish(names, profiles.load(profile))


def published() -> dict[str, bytes]:
    folder = paths.published(paths.BOOK)
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_laptop_run_is_published_with_record_and_attachments(book: tiny.Book) -> None:
    book.write(GOOD, "run.attach('explorer', {'rounds': 1})")
    book.run(profile="laptop")
    publish()
    assert set(published()) == {f"{tiny.NAME}{end}" for end in (".ipynb", ".json", ".explorer.json")}
    notebook = notebooks.read_notebook(paths.published(paths.BOOK) / f"{tiny.NAME}.ipynb")
    record = json.loads((paths.published(paths.BOOK) / f"{tiny.NAME}.json").read_bytes())
    assert status.failure(notebook, record) == ""
    assert record["metrics"] == {"answer": 42}


def test_two_runs_publish_the_same_notebook_without_papermills_traces(book: tiny.Book) -> None:
    book.write(GOOD)
    seen = []
    for _ in range(2):
        book.run(profile="laptop")
        publish()
        seen.append(published()[f"{tiny.NAME}.ipynb"])
        (book.runs / "laptop" / f"{tiny.NAME}.json").unlink()
    assert seen[0] == seen[1]
    notebook = nbformat.reads(seen[0].decode(), as_version=4)
    assert b'"papermill"' not in seen[0]
    assert b"iopub" not in seen[0]
    hidden = [cell for cell in notebook.cells if "injected-parameters" in cell.metadata.get("tags", [])]
    assert ["remove-cell" in cell.metadata.tags for cell in hidden] == [True]
    nbformat.validate(notebook)


def test_prose_and_captions_come_from_todays_source(book: tiny.Book) -> None:
    source = nbformat.read(book.write(GOOD), as_version=4)
    book.run(profile="laptop")
    source.cells[0].source = "# A better title"
    source.cells.insert(3, nbformat.v4.new_markdown_cell("A new paragraph.", id="new"))
    source.cells[4].metadata.update(tiny.FIGURE)
    nbformat.write(source, book.root / "notebooks" / f"{tiny.NAME}.ipynb")
    publish()
    notebook = notebooks.read_notebook(paths.published(paths.BOOK) / f"{tiny.NAME}.ipynb")
    assert notebook.cells[0].source == "# A better title"
    assert notebook.cells[4].source == "A new paragraph."  # behind the injected parameters
    assert notebook.cells[5].metadata["mystnb"] == tiny.FIGURE["mystnb"]
    assert notebook.cells[5].outputs[0].text == "0\n"


def test_of_other_profiles_records_alone_are_published(book: tiny.Book) -> None:
    book.write(GOOD, "run.attach('explorer', {})")
    book.run()
    files = publish(tiny.PROFILE)
    assert files == [paths.published(tiny.PROFILE) / f"{tiny.NAME}.json"]
    assert list(published()) == [f"{tiny.NAME}.json"]


def test_older_code_may_be_published(book: tiny.Book, monkeypatch: pytest.MonkeyPatch) -> None:
    book.write(GOOD)
    book.run(profile="laptop")
    monkeypatch.setattr("dfnas.records.provenance.module_digests", lambda names: dict.fromkeys(names, ""))
    assert book.state(profile="laptop").word == "older code"
    publish()
    assert published()


@pytest.mark.parametrize(
    ("module", "word"), [("dfnas.profiles.laptop", "good"), ("dfnas.profiles.settings", "older code")]
)
def test_values_of_a_profile_are_no_code(book: tiny.Book, module: str, word: str) -> None:
    book.write(GOOD)
    book.run()
    write_json(book.runs / tiny.PROFILE / f"{tiny.NAME}.json", {**book.record(), "modules": {module: "other"}})
    assert book.state().word == word


def test_failed_stale_and_missing_runs_are_refused_and_nothing_is_touched(book: tiny.Book) -> None:
    book.write(GOOD)
    with pytest.raises(UserError, match="never run"):
        publish()
    book.run(profile="laptop")
    publish()
    before = published()
    with pytest.raises(UserError, match="02-synthesis is never run"):
        publish(names=(tiny.NAME, "02-synthesis"))
    book.write(GOOD, "x = 1")
    with pytest.raises(UserError, match="stale"):
        publish()
    path = book.runs / "laptop" / f"{tiny.NAME}.ipynb"
    book.write(GOOD)
    path.write_text(
        path.read_text(encoding="utf-8").replace('"execution_count": 4', '"execution_count": 9'), encoding="utf-8"
    )
    with pytest.raises(UserError, match="failed"):
        publish()
    assert published() == before


def test_another_seed_is_not_published(book: tiny.Book) -> None:
    with pytest.raises(UserError, match="as it stands"):
        publishing.publish([tiny.NAME], profiles.load("laptop", 1))


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("from pathlib import Path\nprint(Path.home() / 'data')", "place of this machine"),
        ("import os\nprint(os.environ['DFNAS_RUNS'])", "place of this machine"),
        ("print('/x/ipykernel_12/1.py:3: UserWarning')", "ipykernel_12"),
        ("from pathlib import Path\nrun.record('path', str(Path.home() / 'a'))", "place of this machine"),
        ("print('x' * 1_100_000)", "1.1 MB of at most 1"),
    ],
)
def test_places_of_this_machine_and_huge_notebooks_are_refused(book: tiny.Book, code: str, why: str) -> None:
    book.write(code)
    assert book.run(profile="laptop").good
    with pytest.raises(UserError, match=why):
        publish()
    assert not paths.published(paths.BOOK).exists()


def test_the_folder_has_a_limit_as_a_whole(book: tiny.Book) -> None:
    book.write(GOOD)
    book.run(profile="laptop")
    paths.published(paths.BOOK).mkdir(parents=True)
    (paths.published(paths.BOOK) / "04-darts.ipynb").write_text("x" * publishing.FOLDER_BYTES, encoding="utf-8")
    with pytest.raises(UserError, match="MB of at most 8"):
        publish()


def test_text_that_arrived_in_pieces_is_one_output() -> None:
    run = tiny.notebook("x = 1")
    pieces = [("stdout", "a\n"), ("stdout", "b\n"), ("stderr", "c\n")]
    run.cells[3].outputs = [nbformat.v4.new_output("stream", name=name, text=text) for name, text in pieces]
    outputs = notebooks.with_prose(run, tiny.notebook("x = 1"), None).cells[3].outputs
    assert [(output.name, output.text) for output in outputs] == [("stdout", "a\nb\n")]  # errors are for the log


def test_pictures_may_hold_any_letters(tmp_path: Path) -> None:
    picture = "data:image/png;base64,AAAA/tmp/AAAA"
    (tmp_path / "x.json").write_text(json.dumps({"images": [picture]}), encoding="utf-8")
    assert publishing.machine_place(tmp_path / "x.json") == ""
