"""The one kind of error that is written for people."""


class UserError(Exception):
    """Something a person can mend: what was expected, what was found, what to do.

    Args:
        expected: what the step needed, as a noun phrase ("two or more classes").
        found: what was there instead, and where (file, line, column, setting).
        remedy: the next thing to do, as a full sentence.
    """

    def __init__(self, expected: str, found: str, remedy: str) -> None:
        super().__init__(expected, found, remedy)
        self.expected = expected
        self.found = found
        self.remedy = remedy

    @property
    def reason(self) -> str:
        """What was expected and what was found, in one line."""
        return f"Expected {self.expected}; found {self.found}."

    def __str__(self) -> str:
        return f"{self.reason} {self.remedy}"
