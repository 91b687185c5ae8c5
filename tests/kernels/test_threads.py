"""Pieces of work at the same time in one process."""

import threading

import pytest
import torch

from dfnas.kernels import threads


def test_two_calls_run_at_the_same_time_and_answer_in_order(two_threads):
    both = threading.Barrier(2)

    def call(value):
        both.wait(10)  # raises unless the other call is there too
        return value, torch.get_num_threads(), torch.is_grad_enabled()

    assert threads.together([lambda: call(1), lambda: call(2)]) == [(1, 1, False), (2, 1, False)]
    assert torch.get_num_threads() == 2


def test_an_error_in_a_call_comes_out(two_threads):
    with pytest.raises(ZeroDivisionError):
        threads.together([lambda: 1 / 0, lambda: 1])


def test_with_one_thread_calls_run_one_after_the_other(two_threads):
    torch.set_num_threads(1)
    assert threads.together([torch.is_grad_enabled]) == [False]
    names = threads.together([lambda: threading.current_thread().name] * 3)
    assert set(names) == {threading.current_thread().name}


def test_more_threads_than_calls_are_divided_between_them(two_threads):
    torch.set_num_threads(5)
    assert threads.together([torch.get_num_threads] * 2) == [2, 2]
    assert torch.get_num_threads() == 5
