"""A tenth of the fuzz, always the same one: tests/fuzz.py has it whole."""

import fuzz
import pytest


@pytest.mark.skipif(not fuzz.Path("/proc/self/statm").exists(), reason="its limit of memory is Linux's")
def test_a_tenth_of_the_fuzz_comes_to_a_result_or_to_one_line() -> None:
    outcomes, faults = fuzz.run(share=0.1, seed=0)
    assert faults == []
    assert {outcome for _, outcome in outcomes} == {"accepted", "refused"}
