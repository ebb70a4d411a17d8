"""Exceptions of the core: each means a mistake of ours or of the shell's, never bad input."""


class NotContiguousError(RuntimeError):
    """A batch does not start where the pipeline stands."""

    def __init__(self, topic: str, expected: int, given: int) -> None:
        super().__init__(f"{topic}: the next offset is {expected}, the batch starts at {given}")


class UnreadableRowError(ValueError):
    """A row of state cannot be read; what it held has to be learned again."""
