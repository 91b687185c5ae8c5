"""Artefacts: which were asked for, and whether they are made anew."""

import contextvars
import subprocess
import sys

import pytest

from dfnas.runtime import artefacts
from dfnas.runtime.artefacts import Artefact


@pytest.fixture(autouse=True)
def afresh():
    artefacts.reset()
    yield
    artefacts.force(False)
    artefacts.reset()


def names():
    return [artefact.name for artefact in artefacts.used()]


def test_all_that_was_asked_for_is_remembered_in_order_until_it_is_forgotten(tmp_path):
    for name in ("b", "b", "a"):
        artefacts.note(Artefact(name, name, tmp_path))
    assert names() == ["b", "b", "a"]
    artefacts.used().clear()  # a copy
    assert names() == ["b", "b", "a"]
    artefacts.reset()
    assert names() == []


def test_what_is_asked_for_apart_is_forgotten_and_what_was_before_is_not(tmp_path):
    artefacts.note(Artefact("before", "", tmp_path))

    def fail():
        with artefacts.apart():
            assert names() == []
            artefacts.note(Artefact("apart", "", tmp_path))
            assert names() == ["apart"]
            raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        fail()
    assert names() == ["before"]


def test_another_context_has_its_own(tmp_path):
    def elsewhere():
        artefacts.note(Artefact("elsewhere", "", tmp_path))
        artefacts.force()
        return names(), artefacts.forced()

    assert contextvars.copy_context().run(elsewhere) == (["elsewhere"], True)
    assert names() == []
    assert not artefacts.forced()


def test_stages_are_forced_until_they_are_not():
    assert not artefacts.forced()
    artefacts.force()
    assert artefacts.forced()
    artefacts.force(False)
    assert not artefacts.forced()


def test_a_record_is_begun_and_a_file_written_without_torch():
    code = "import sys; from dfnas.runtime import artefacts, files; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
