"""A profile of one's own: it changes what it says, and a bad one is one line that names the file's line."""

import os
from pathlib import Path

import pytest
import tiny

from dfnas import __main__, profiles
from dfnas.data import teachers
from dfnas.errors import UserError
from dfnas.profiles.resolve import variant
from dfnas.publishing import publish, runner, status
from dfnas.runtime import paths

MINE = """\
# A network of mine.
base = "smoke"
chapters = ["01-teacher", "02-synthesis"]

[teacher]
path = "weights.pt"
mean = [0.5]

[data]
validation = 7
[darts.search]
learning_rate = 1
resolutions = [
    [8, 0.5],  # small images first
]
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    (tmp_path / "weights.pt").touch()
    (tmp_path / "mine.toml").write_text(MINE, encoding="utf-8")
    return tmp_path / "mine.toml"


def message(file: Path, content: str | bytes) -> str:
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError) as caught:
        profiles.load(str(file))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_file_changes_what_it_says_alone(mine: Path) -> None:
    settings = profiles.load(str(mine), 3, ["data.validation=8"])
    expected = variant(
        profiles.load("smoke", 3),
        chapters=["01-teacher", "02-synthesis"],
        teacher={"path": str(mine.parent / "weights.pt"), "mean": (0.5,)},
        data={"validation": 8},
        darts={"search": {"learning_rate": 1.0, "resolutions": ((8, 0.5),)}},
        overrides=("data.validation=8",),
        profile=settings.profile,
        file=str(mine),
        base="smoke",
    )
    assert settings == expected
    assert isinstance(settings.darts.search.learning_rate, float)


def test_its_name_is_of_what_it_means(mine: Path) -> None:
    name = profiles.load(str(mine)).profile
    assert name.startswith("mine-")
    base = MINE.partition("\n\n")[0]
    same = f"{base}\n[data]\nvalidation = 0x7\n[darts]\nsearch.resolutions = [[8, 5e-1]]\nsearch.learning_rate = 1.0\n"
    same += (
        '[teacher]\nmean = [0.5]\npath = "./weights.pt"\nbuilder = ""\n[synthesis]\nimages = 200 # as smoke has it\n'
    )
    mine.write_bytes(b"\xef\xbb\xbf" + same.replace("\n", "\r\n").encode())
    assert profiles.load(str(mine)).profile == name
    for old, new in (("validation = 7", "validation = 8"), ('"smoke"', '"quick"'), ("[8, 0.5]", "[8, 0.6]")):
        mine.write_text(MINE.replace(old, new), encoding="utf-8")
        assert profiles.load(str(mine)).profile not in (name, "mine")
    (mine.parent / "my own.toml").write_text(MINE, encoding="utf-8")
    settings = profiles.load(str(mine.parent / "my own.toml"), 1)
    assert paths.run_folder(settings).name == f"my-own-{name.partition('-')[2]}-s1"


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        (
            "validation = 7",
            "validaton = 7",
            "line 10: data.validaton: no 'validaton' (did you mean 'validation'?); there are name, ",
        ),
        ("validation = 7", "class_names = ['a']", "line 10: data.class_names: 1 names, and data.classes is 10"),
        ("[data]", "[dta]", "line 9: dta: no 'dta' (did you mean 'data'?); there are run, data"),
        ("validation = 7", "validation = 7.5", "line 10: data.validation: 7.5 is not of type int"),
        ("[8, 0.5],", "[8, '0.5'],", "line 13: darts.search.resolutions: [[8, '0.5']] is not of type"),
        ("[data]", "data = 3\n[run]", "line 9: teacher.data: no 'data'"),
        ("[data]", "[[run]]", "line 10: run: [{'validation': 7}] is not of type RunSettings"),
        ("smoke", "smok", "line 2: base: no profile 'smok' (did you mean 'smoke'?); there are smoke, quick"),
        ("base", "bases", "line 1: no base: begin with base ="),
        ("02-s", "02-z", "line 3: no chapter '02-zynthesis'"),
        ("weights", "weight", "line 6: teacher.path: there is no "),
        ("path", "builder", "line 6: teacher.builder='weights.pt': it has no weights"),
        ("base = ", "seed = 1\nbase = ", "line 2: seed: a profile has none"),
        ("[data]", "[teacher]", "line 9: no TOML: Cannot declare ('teacher',) twice"),
        ("[data]", "[data", "line 9: no TOML: Expected ']'"),
        ("0.5],  # small images first\n]", "0.5]", "no TOML: Unclosed array"),
        ("of mine", "of m\udcfcne", "line 1: no UTF-8 text"),
    ],
)
def test_a_bad_file_is_one_line_that_names_the_file_s(mine: Path, old: str, new: str, where: str) -> None:
    assert old in MINE
    found = message(mine, MINE.replace(old, new, 1).encode(errors="surrogateescape"))
    assert found.startswith("mine.toml, line ")
    assert where in found


def test_what_is_no_file_is_one_line(mine: Path) -> None:
    for place, what in (
        (mine.parent, "is no file"),
        (mine.parent / "no.toml", "No such file"),
        ("/dev/zero", "no file"),
    ):
        with pytest.raises(UserError, match=what):
            profiles.load(str(place))
    assert message(mine, "").startswith("mine.toml, line 1: no base")


def test_where_a_setting_stands(mine: Path) -> None:
    assert profiles.place(str(mine), "my.pt does not fit: darts.search is 3") == "mine.toml, line 11: "
    assert profiles.place(str(mine), "data.region and teacher.mean") == "mine.toml, line 7: "
    assert profiles.place(str(mine), "data.region") == profiles.place("", "data.validation") == ""


@pytest.mark.parametrize(
    ("new", "line", "what"),
    [
        ("", 6, "a download or a copy broke off"),
        ("builder = 'nowhere:net'", 7, "No module named 'nowhere'"),
    ],
)
def test_a_teacher_that_will_not_do_is_a_line_of_the_file(mine: Path, new: str, line: int, what: str) -> None:
    mine.write_text(MINE.replace("mean = [0.5]", new), encoding="utf-8")
    with pytest.raises(UserError, match=rf"^mine\.toml, line {line}: .*{what}"):
        teachers.load(profiles.load(str(mine)))


def test_modules_beside_the_file_are_found(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.path", [])
    profiles.load(str(mine))
    profiles.load(str(mine))
    assert __import__("sys").path == [str(mine.parent), os.getcwd()]


def test_commands_and_notebooks_take_the_file(
    mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    book = tiny.make_book(tmp_path, monkeypatch)
    book.write("run.record('validation', run.settings.data.validation)")
    monkeypatch.chdir(mine.parent)
    assert __main__.main(["run", tiny.NAME, "--profile", "mine.toml"]) == 0
    (record,) = book.runs.glob(f"mine-????????/{tiny.NAME}.json")
    assert '"validation": 7' in record.read_text(encoding="utf-8")
    settings = profiles.load("mine.toml")
    assert status.state(tiny.NAME, settings).good
    assert __main__.main(["status", "--profile", "mine.toml"]) == 0
    assert f"{settings.profile} " in capsys.readouterr().out
    with pytest.raises(UserError, match="one of your own"):
        publish.publish([tiny.NAME], settings)
    mine.write_text(MINE.replace("7", "seven"), encoding="utf-8")
    assert __main__.main(["run", tiny.NAME, "--profile", "mine.toml"]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("dfnas: mine.toml, line 10: ")
    assert shown.count("\n") == 1


def test_a_file_that_is_changed_under_a_run_fails_it(
    mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = tiny.make_book(tmp_path, monkeypatch)
    book.write("run.record('validation', run.settings.data.validation)")
    settings = profiles.load(str(mine))
    mine.write_text(MINE.replace("7", "8"), encoding="utf-8")
    assert "was changed" in runner.run(tiny.NAME, settings, runner.Options()).why
