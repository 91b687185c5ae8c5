"""The list of mutants fits the code: a text that has gone would be a fault that nobody brings in any more."""

import ast

import mutants
import pytest

LISTED = mutants.chosen([])


@pytest.mark.parametrize("mutant", LISTED, ids=lambda mutant: mutant.name)
def test_a_mutant_s_text_is_there_once_and_what_replaces_it_is_python(mutant):
    content = (mutants.ROOT / "dfnas" / mutant.file).read_text(encoding="utf-8")
    assert content.count(mutant.old) == 1, "write down the mutant for today's code"
    changed = content.replace(mutant.old, mutant.new)
    assert ast.dump(ast.parse(changed)) != ast.dump(ast.parse(content))


def test_every_kind_that_the_book_rests_on_has_its_mutants():
    kinds = [mutant.kind for mutant in LISTED]
    assert {"leaks", "objective", "search", "arms", "labels", "training", "claims", "profiles"} <= set(kinds)
    assert len({mutant.name for mutant in LISTED}) == len(LISTED) >= 30
    assert mutants.chosen(["TV-L2"]) == [mutant for mutant in LISTED if "TV-L2" in mutant.name]
