"""What a user reads of an error: one line, never empty."""

import pytest

from dfnas.errors import reason


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("one line of it"), "one line of it"),
        (ValueError("\n\n  the second line\nand more"), "the second line"),
        (RuntimeError("Error(s) in loading state_dict for ResNet:\n\tMissing key(s)"), "ResNet: Missing key(s)"),
        (AssertionError(), "AssertionError"),
        (EOFError("\n"), "EOFError"),
        (KeyError("mean"), "KeyError: 'mean'"),
        (ValueError("File name in directory and header differ " + "x" * 5000), "x" * 200),
    ],
)
def test_the_reason_of_an_error_is_one_line_that_says_something(error, text):
    assert reason(error).endswith(text)
    assert "\n" not in reason(error)
    assert len(reason(error)) < 400
