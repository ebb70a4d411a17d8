"""What the laboratory and `tune` say when they cannot go on."""


class LabError(Exception):
    """The laboratory cannot go on: the text says what is wrong, where, and what to do."""
