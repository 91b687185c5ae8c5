"""Faults that the tests must notice: `python tests/mutants.py [WORD...]` brings them into a copy, one at a time.

mutants.toml lists them. Words choose those whose kind or name has one of them. Exit code 1 where a mutant survives,
where its text is no longer there exactly once, or where a test fails without any fault. Not collected by pytest: a
whole run takes about ten minutes.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__", "runs", "_build", "shared", "*.egg-info")


class Mutant(NamedTuple):
    """A fault: `old` stands exactly once in a file of dfnas/, `new` takes its place, one of `tests` must fail."""

    kind: str
    name: str
    file: str
    old: str
    new: str
    tests: list[str]  # node ids, below tests/


def chosen(words: list[str]) -> list[Mutant]:
    """All mutants, or those that one of the words is in the kind or name of."""
    listed = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    mutants = [Mutant(kind, **fields) for kind, rows in listed.items() for fields in rows]
    return [each for each in mutants if not words or any(word in f"{each.kind} {each.name}" for word in words)]


def failed(copy: Path, tests: list[str]) -> tuple[int, str]:
    """Pytest's exit code on some tests of a copy, up to the first that fails, and which that is."""
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    options = ["-x", "-q", "--no-header", "-p", "no:cacheprovider", "--tb=no", "-rf"]
    command = [sys.executable, "-m", "pytest", *options, *(f"tests/{test}" for test in tests)]
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True)
    names = re.findall(r"^FAILED tests/(\S+)", done.stdout, re.MULTILINE)
    return done.returncode, names[0] if names else ""


def verdict(copy: Path, mutant: Mutant) -> str:
    """The test that a mutant fails; in capitals, why there is none. The copy is afterwards what it was."""
    file = copy / "dfnas" / mutant.file
    content = file.read_text(encoding="utf-8")
    if content.count(mutant.old) != 1:
        return f"TEXT FOUND {content.count(mutant.old)} TIMES"
    file.write_text(content.replace(mutant.old, mutant.new), encoding="utf-8")
    try:
        code, test = failed(copy, mutant.tests)
    finally:
        file.write_text(content, encoding="utf-8")
    said = {0: "SURVIVED", 4: "THERE IS NO SUCH TEST"}.get(code, f"NO TEST COULD FAIL (pytest says {code})")
    return test if code == 1 and test else said


def main(words: list[str]) -> int:
    """Bring in the mutants one by one and print which test each fails."""
    mutants, lost = chosen(words), 0
    if not mutants:
        print(f"no mutant has {' or '.join(words)} in its kind or name", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copytree(ROOT, Path(folder) / "copy", ignore=LEFT_OUT))
        tests = list(dict.fromkeys(test for mutant in mutants for test in mutant.tests))
        there = [test for test in tests if (copy / "tests" / test.partition("::")[0]).exists()]
        code, test = failed(copy, there) if there else (0, "")
        if code:
            print(f"without any fault pytest says {code}: {test}")
            return 1
        for mutant in mutants:
            found = verdict(copy, mutant)
            lost += found[0].isupper()
            print(f"{mutant.kind:10} {mutant.name:68} {found}", flush=True)
    print(f"{len(mutants) - lost} of {len(mutants)} mutants die")
    return int(lost > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
