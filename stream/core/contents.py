"""Contents: what predictions and feedback say, in columns, so that no stage looks at one event after another.

They are read off the events where those are decoded and at hand; what is not looked at again is let go there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final, NamedTuple, cast

import numpy as np
from msgspec.structs import astuple
from numpy.typing import NDArray

from schemas.events import Feedback, FeedbackKind, Prediction, Usage
from stream.core.forms import USAGE, Features, FeatureValue, Form
from stream.core.hashed import Hashes, hashes_of
from stream.core.nouns import TRUTH, UNVERSIONED
from stream.core.scalars import NONE, Numbers, Objects, Scalars, numbers_of, objects_of

Which = slice | NDArray[Any]

_VERSION, _OUTPUT, _SCORE = map(attrgetter, ("version", "output", "score"))
_FEATURES, _SEGMENTS, _USAGE = map(attrgetter, ("features", "segments", "usage"))
_PREDICTION_ID, _KIND, _LABEL, _VALUE = map(attrgetter, ("prediction_id", "kind", "label", "value"))
_UNSAID: Final = Usage()

CODE_OF: Final = {kind: code for code, kind in enumerate(FeedbackKind)}
"""The numbers by which columns name the kinds of feedback."""

_SAYS_TRUTH: Final = np.array([kind in TRUTH for kind in FeedbackKind])


class Table(NamedTuple):
    """Features of predictions that have the same ones: numbers, shape (k, n), and categories, (m, n).

    Those that are there and null are NaN, and None.
    """

    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    numbers: Numbers
    categories: Objects

    def take(self, which: Which) -> Table:
        """Give those of the predictions at *which*."""
        return self._replace(
            numbers=_rows_at(self.numbers, which), categories=_rows_at(self.categories, which)
        )

    def described(self) -> list[Features | None]:
        """Give them as events have them."""
        rows: list[Sequence[FeatureValue]] = [
            [None if value != value else value for value in row]  # noqa: PLR0124 - is it NaN
            for row in self.numbers.tolist()
        ]
        rows += self.categories.tolist()
        names = (*self.numeric, *self.categorical)
        return [dict(zip(names, values, strict=True)) for values in zip(*rows, strict=True)]


@dataclass(slots=True)
class Predicted:
    """What predictions say, in columns of shape (n,), or (k, n) for the *usage*, as many as are named.

    *usage* and *segments* are None where no prediction has any. *features* are a table where all have the
    same, else as events have them.
    """

    versions: Objects
    outputs: Scalars
    scores: Numbers
    usage: Numbers | None
    features: Table | Objects
    segments: Objects | None

    @classmethod
    def of(cls, events: Sequence[Prediction]) -> Predicted:
        """Read the columns off *events*."""
        segments, used = list(map(_SEGMENTS, events)), list(map(_USAGE, events))
        return cls(
            objects_of([version or UNVERSIONED for version in map(_VERSION, events)]),
            Scalars.of(list(map(_OUTPUT, events))),
            numbers_of(list(map(_SCORE, events))),
            usage_of(used),
            objects_of(list(map(_FEATURES, events))),
            None if segments.count(None) == len(segments) else objects_of(segments),
        )

    @classmethod
    def joined(cls, parts: Sequence[Predicted]) -> Predicted:
        """Put columns one behind the other."""
        if len(parts) == 1:
            return parts[0]
        if not parts:
            return cls.of([])
        usage = segments = None
        if any(part.usage is not None for part in parts):
            usage = np.concatenate([part._used() for part in parts], axis=1)  # noqa: SLF001 - its own class
        if any(part.segments is not None for part in parts):
            none = [np.full(len(part), None) if part.segments is None else part.segments for part in parts]
            segments = np.concatenate(none)
        return cls(
            np.concatenate([part.versions for part in parts]),
            Scalars.joined([part.outputs for part in parts]),
            np.concatenate([part.scores for part in parts]),
            usage,
            _features_of(parts),
            segments,
        )

    def __len__(self) -> int:
        return len(self.scores)

    def take(self, which: Which) -> Predicted:
        """Give those at the places *which*."""
        features, segments = self.features, self.segments
        return Predicted(
            self.versions[which],
            self.outputs.take(which),
            self.scores[which],
            None if self.usage is None else _rows_at(self.usage, which),
            features.take(which) if isinstance(features, Table) else features[which],
            None if segments is None else segments[which],
        )

    def table_of(self, form: Form) -> Table | None:
        """Give the features in a table where they are in one, and are those of *form*."""
        own = self.features
        if isinstance(own, Table) and own[:2] == (form.numeric, form.categorical):
            return own
        return None

    def described(self) -> list[Features | None]:
        """Give the features as events have them."""
        features = self.features
        if isinstance(features, Table):
            return features.described()
        return cast("list[Features | None]", features.tolist())

    def _used(self) -> Numbers:
        return np.full((len(USAGE), len(self)), np.nan) if self.usage is None else self.usage


@dataclass(slots=True)
class Said:
    """What feedback says, in columns of shape (n,).

    *about* are the hashes of the predictions' ids, *kinds* are numbers: see :data:`CODE_OF`. *values* are
    None where no feedback has one.
    """

    about: Hashes
    kinds: NDArray[np.uint8]
    labels: Scalars
    values: Numbers | None

    @classmethod
    def of(cls, events: Sequence[Feedback]) -> Said:
        """Read the columns off *events*."""
        values = list(map(_VALUE, events))
        kinds = np.array([CODE_OF[kind] for kind in map(_KIND, events)], dtype=np.uint8)
        about, labels = hashes_of(list(map(_PREDICTION_ID, events))), Scalars.of(list(map(_LABEL, events)))
        return cls(about, kinds, labels, None if values.count(None) == len(values) else numbers_of(values))

    @classmethod
    def joined(cls, parts: Sequence[Said]) -> Said:
        """Put columns one behind the other."""
        if len(parts) == 1:
            return parts[0]
        if not parts:
            return cls.of([])
        values = None
        if any(part.values is not None for part in parts):
            none = [np.full(len(part), np.nan) if part.values is None else part.values for part in parts]
            values = np.concatenate(none)
        return cls(
            np.concatenate([part.about for part in parts]),
            np.concatenate([part.kinds for part in parts]),
            Scalars.joined([part.labels for part in parts]),
            values,
        )

    def __len__(self) -> int:
        return len(self.kinds)

    def take(self, which: Which) -> Said:
        """Give those at the places *which*."""
        values = None if self.values is None else self.values[which]
        return Said(self.about[which], self.kinds[which], self.labels.take(which), values)

    def is_truth(self) -> NDArray[np.bool_]:
        """Tell which say what was true."""
        truth: NDArray[np.bool_] = _SAYS_TRUTH[self.kinds] & (self.labels.kinds != NONE)
        return truth


def usage_of(used: Sequence[Usage | None]) -> Numbers | None:
    """Give what predictions cost, a row for each of :data:`USAGE`; None where none of them says so."""
    kinds = set(map(type, used))  # to compare each with None would cost more
    if Usage not in kinds:
        return None
    told = cast("Sequence[Usage]", used)
    if len(kinds) > 1:
        told = [_UNSAID if one is None else one for one in used]
    rows = np.full((len(USAGE), len(used)), np.nan)
    columns = dict(zip(Usage.__struct_fields__, zip(*map(astuple, told), strict=True), strict=True))
    for row, name in zip(rows, USAGE, strict=True):
        column = columns[name]
        if column[0] is not None or column.count(None) < len(column):
            row[:] = numbers_of(column)
    return rows


def _rows_at(rows: NDArray[Any], which: Which) -> NDArray[Any]:
    """Give rows, shape (k, n), at the places *which*, in order in memory as they are."""
    if isinstance(which, slice) or which.dtype != np.intp:
        return rows[:, which]
    return rows.take(which, axis=1)


def _features_of(parts: Sequence[Predicted]) -> Table | Objects:
    """Join the features of *parts*: a table where all of them are the same one's."""
    tables = [part.features for part in parts if isinstance(part.features, Table)]
    if len(tables) == len(parts) and len({table[:2] for table in tables}) == 1:
        return Table(
            *tables[0][:2],
            np.concatenate([table.numbers for table in tables], axis=1),
            np.concatenate([table.categories for table in tables], axis=1),
        )
    return objects_of([one for part in parts for one in part.described()])
