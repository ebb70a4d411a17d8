"""Identity: names that depend on what they name and on nothing else."""

from __future__ import annotations

import hashlib

import msgspec

from stream.core.nouns import SeriesSpec

_encode = msgspec.json.Encoder().encode


def fingerprint(spec: SeriesSpec) -> str:
    """Name what an alert is about, over its labels only: the same trouble has the same name again."""
    return digest(*spec.key, spec.kind)


def digest(*parts: str | float) -> str:
    """Give 16 hexadecimal digits that depend on *parts* and nothing else."""
    return hashlib.blake2b(_encode(parts), digest_size=8).hexdigest()
