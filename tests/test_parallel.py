"""Pieces of work on several processes: the same results in the same order."""

import dataclasses
import os

import pytest
import torch

from dfnas import parallel, profiles
from dfnas.errors import UserError

RUN = profiles.load("smoke").run


def piece(number):
    if number < 0:
        raise UserError("no number below 0")
    return number**2, os.getpid(), torch.get_num_threads()


def test_processes_give_the_same_results_in_the_same_order_and_have_one_thread():
    alone = list(parallel.each(piece, range(4), RUN))
    several = list(parallel.each(piece, range(4), dataclasses.replace(RUN, processes=2)))
    assert [result[0] for result in alone] == [result[0] for result in several] == [0, 1, 4, 9]
    assert {result[1] for result in alone} == {os.getpid()}
    assert os.getpid() not in {result[1] for result in several}
    assert {result[2] for result in several} == {1}


def test_an_error_comes_through():
    with pytest.raises(UserError, match="below 0"):
        list(parallel.each(piece, [1, -1, 2, 3], dataclasses.replace(RUN, processes=2)))
