"""Segments: parts of a model's traffic that a policy declares, such as ``region=south``.

A prediction that waits is kept with the segments that it is in, if any: its version is then the first of a
tuple that names them. What was declared when the prediction came counts, whatever the policy says later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, TypeAlias

import msgspec

from stream.core.texts import short

Named: TypeAlias = str | Annotated[tuple[str, ...], msgspec.Meta(min_length=2)]
"""A version, alone or with the segments that a prediction of it is in."""


def with_segments(
    versions: Sequence[str], given: Sequence[Mapping[str, str] | None], keys: Sequence[str]
) -> list[Named]:
    """Give each of *versions* with those segments of *given* that have one of *keys*.

    A value that is longer than a name may be is kept short.
    """
    known: dict[tuple[str, ...], Named] = {}
    named: list[Named] = []
    for version, segments in zip(versions, given, strict=True):
        if not segments:
            named.append(version)
            continue
        values = [segments.get(key) for key in keys]
        pairs = zip(keys, values, strict=True)
        own = [f"{key}={short(value)}" for key, value in pairs if value is not None]
        found = (version, *own)
        named.append(known.setdefault(found, found) if len(found) > 1 else version)
    return named


def apart(named: Sequence[Named]) -> tuple[list[str], list[tuple[str, ...]]]:
    """Give the versions and the segments that were put together."""
    versions = [one if isinstance(one, str) else one[0] for one in named]
    return versions, [() if isinstance(one, str) else one[1:] for one in named]


def key_of(segment: str) -> str:
    """Give the key of a segment; a key that may be declared has no equals sign."""
    return segment.partition("=")[0]
