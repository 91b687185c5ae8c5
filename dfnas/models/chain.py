"""The text form that chains of blocks share: `kind:1;field=value;...;choices=2066...`, a digit a block.

The 1 is the version of the form.
"""

import re
from collections.abc import Sequence
from typing import Any

from dfnas.errors import UserError

NUMBER = "[1-9][0-9]{0,4}"
LIST = f"{NUMBER}(?:,{NUMBER})*"


class Form:
    """The text form of one kind of chain: its fields, each a number or a list of numbers, and its choices."""

    def __init__(self, kind: str, name: str, fields: dict[str, str], choices: int) -> None:
        """`name` is for messages; `fields` maps each field to NUMBER or LIST; there are `choices` a block."""
        self.kind, self.name, self.fields = kind, name, fields
        patterns = fields | {"choices": f"[0-{choices - 1}]+"}
        parts = (f"{field}=(?P<{field}>{pattern})" for field, pattern in patterns.items())
        self.pattern = re.compile(";".join([f"{kind}:1", *parts]))

    def write(self, space: Any, choices: Sequence[int]) -> str:
        """The line of an architecture: the fields are attributes of `space`."""
        values = {field: getattr(space, field) for field in self.fields}
        parts = [f"{field}={','.join(map(str, v)) if isinstance(v, tuple) else v}" for field, v in values.items()]
        return ";".join([f"{self.kind}:1", *parts, "choices=" + "".join(map(str, choices))])

    def read(self, text: str) -> tuple[tuple[int, ...], dict[str, Any]]:
        """The choices and the fields of a line; UserError for a line of another form."""
        match = self.pattern.fullmatch(text.strip())
        if match is None:
            form = ";".join(f"{field}=…" for field in [*self.fields, "choices"])
            raise UserError(f"no {self.name} architecture: {text[:100]!r} is not of the form '{self.kind}:1;{form}'")
        values = match.groupdict()
        choices = tuple(map(int, values.pop("choices")))
        numbers = {field: tuple(map(int, value.split(","))) for field, value in values.items()}
        return choices, {field: v if self.fields[field] == LIST else v[0] for field, v in numbers.items()}
