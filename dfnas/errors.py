"""What a user is meant to read: the one exception, and notes on the way."""

import sys

MOST = 300  # letters of somebody else's message


class UserError(Exception):
    """Bad input: one line that says what is wrong and how to mend it (the command line exits with 2)."""


def reason(error: BaseException) -> str:
    """What an error says, in one line that is never empty: its first sentence, with its kind where that says little.

    torch's lists begin with a line that ends in a colon, and the news is in the next.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if len(lines) > 1 and lines[0].endswith(":"):
        lines[0] += f" {lines[1]}"
    kind = type(error).__name__
    return kind if not lines else lines[0][:MOST] if " " in lines[0] else f"{kind}: {lines[0][:MOST]}"


def note(text: str) -> None:
    """Say something that the user may want to know, and that stops nothing: a line on standard error."""
    print(f"dfnas: {text}", file=sys.stderr)
