"""What the models of a pipeline share, so that a batch is looked up once for all of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from stream.core.hashed import HashIndex
from stream.core.pending import Standing

_SEEN_BYTES: Final = 38
_PENDING_BYTES: Final = 65
"""What an id of 36 characters takes in a row."""


@dataclass(frozen=True, slots=True)
class Shared:
    """The index of the ids that were taken, and where predictions wait for their labels.

    Both hold what the models' own stores hold, within their bounds, and let go of it with them.
    """

    seen: HashIndex = field(default_factory=HashIndex)
    standing: Standing = field(default_factory=Standing)

    def expect(self, rows: Iterable[tuple[str, bytes]]) -> None:
        """Make room for what *rows* of state hold, each with its kind: tables are then made but once.

        Ids are taken for as long as UUIDs are; where they are shorter the tables grow as they always do.
        """
        size = {"seen": 0, "pending": 0}
        for kind, row in rows:
            if kind in size:
                size[kind] += len(row)
        self.seen.reserve(size["seen"] // _SEEN_BYTES)
        self.standing.index.reserve(size["pending"] // _PENDING_BYTES)
