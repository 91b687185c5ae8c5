"""The one exception that a user is meant to read."""


class UserError(Exception):
    """Bad input: one line that says what is wrong and how to mend it (the command line exits with 2)."""
