"""The house: rooms from the top down, which import one another downwards only, and one name for one thing."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import nbformat

import dfnas
from dfnas.chapters import index
from dfnas.profiles import CHAPTERS

PACKAGE = Path(dfnas.__file__).parent
ROOMS = (
    "publishing",
    "chapters",
    "records",
    "figures",
    "search",
    "synthesis",
    "training",
    "data",
    "models",
    "kernels",
    "runtime",
    "profiles",
)
FILES = {path: tuple(path.relative_to(PACKAGE).with_suffix("").parts) for path in sorted(PACKAGE.rglob("*.py"))}
MODULES = {".".join(("dfnas", *parts)).removesuffix(".__init__"): parts for parts in FILES.values()}


def imports(path: Path) -> set[str]:
    """The modules of dfnas that a file imports, inside functions too; packages where a name is not a module's."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "dfnas":
            assert node.level == 0
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                found.add(full if full in MODULES else node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.split(".")[0] == "dfnas"}
    return found


GRAPH = {".".join(("dfnas", *parts)).removesuffix(".__init__"): imports(path) for path, parts in FILES.items()}


def room(module: str) -> str:
    return module.split(".")[1] if module.count(".") else ""


def test_the_rooms_are_those_of_the_design() -> None:
    assert {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"} == set(ROOMS)
    assert {path.name for path in PACKAGE.glob("*.py")} == {"__init__.py", "__main__.py", "errors.py"}


def test_no_room_imports_one_above_it() -> None:
    level = {name: number for number, name in enumerate(ROOMS)}
    upwards = [
        f"{module} imports {other}"
        for module, others in GRAPH.items()
        for other in others
        if room(module) in level and room(other) in level and level[room(other)] < level[room(module)]
    ]
    assert upwards == []


def test_nothing_imports_the_command_line() -> None:
    assert [module for module, others in GRAPH.items() if "dfnas.__main__" in others] == []


def test_there_is_no_circle_of_imports() -> None:
    """TopologicalSorter raises CycleError, with the circle, where there is one."""
    TopologicalSorter(GRAPH).prepare()


def test_a_name_stands_in_one_room_unless_it_is_a_chapter_s() -> None:
    chapters = {name.partition("-")[2].replace("-", "_") for name in CHAPTERS}
    rooms = defaultdict(set)
    for parts in FILES.values():
        if len(parts) > 1 and parts[-1] != "__init__":
            rooms[parts[-1]].add(parts[0])
    doubled = {name: found for name, found in rooms.items() if len(found) > 1 and name not in chapters}
    assert doubled == {}


def test_a_room_s_name_is_no_other_room_s_module() -> None:
    chapters = {name.partition("-")[2].replace("-", "_") for name in CHAPTERS}
    modules = {parts[-1] for parts in FILES.values() if len(parts) > 1}
    assert modules & set(ROOMS) <= chapters


def test_every_chapter_has_compute_and_plan_and_is_named_as_its_notebook() -> None:
    assert tuple(sorted(path.stem for path in (PACKAGE.parent / "notebooks").glob("*.ipynb"))) == CHAPTERS
    for name in CHAPTERS:
        chapter = index.module(name)
        assert callable(chapter.compute)
        assert callable(chapter.plan)


def test_the_package_stays_thin() -> None:
    lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in FILES)
    assert lines <= 22_600


def sources() -> Iterator[tuple[Path, str]]:
    """Every module, test and notebook of the repository, as Python."""
    for room in ("dfnas", "benchmarks", "book/_ext", "tests"):
        for path in (PACKAGE.parent / room).rglob("*.py"):
            yield path, path.read_text(encoding="utf-8")
    for path in (PACKAGE.parent / "notebooks").glob("*.ipynb"):
        cells = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
        yield path, "\n".join(cells)


def test_text_is_read_and_written_as_utf_8_everywhere() -> None:
    """Ruff's PLW1514 sees only what it knows to be a Path."""
    least = {"read_text": 1, "write_text": 2}
    wrong = [
        f"{path.relative_to(PACKAGE.parent)}: {ast.unparse(node)}"
        for path, text in sources()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and len(node.args) + len(node.keywords) < least.get(node.func.attr, 0)
    ]
    assert wrong == []
