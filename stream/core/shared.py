"""What the models of a pipeline share, so that a batch is looked up once for all of them."""

from __future__ import annotations

from dataclasses import dataclass, field

from stream.core.hashed import HashIndex
from stream.core.pending import Standing


@dataclass(frozen=True, slots=True)
class Shared:
    """The index of the ids that were taken, and where predictions wait for their labels.

    Both hold what the models' own stores hold, within their bounds, and let go of it with them.
    """

    seen: HashIndex = field(default_factory=HashIndex)
    standing: Standing = field(default_factory=Standing)
