"""Looks: what the events of a log look like, so that those that look alike are decoded into columns.

Most events of a model have the same features, numbers or categories each, and write their times alike. What
looks as the ones before is decoded into structures made for it, without a dictionary for each, and its
columns are taken from these. What does not fit is decoded as any event is: both give the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal, NamedTuple, cast

import msgspec
import numpy as np
from msgspec.structs import astuple

from schemas.events import Event, Feedback, FeedbackKind, Name, Prediction, Safety, Scalar, Usage
from stream.core.contents import CODE_OF, Predicted, Said, Table, usage_of
from stream.core.forms import Features
from stream.core.hashed import hashes_of
from stream.core.nouns import UNVERSIONED
from stream.core.scalars import Objects, Scalars, numbers_of, objects_of

FEATURES_MAX: Final = 100
"""Features of a look: with more of them none is made."""

NAMES_MAX: Final = 1_000
"""Names of models, and of versions, that a look knows: with more of them any will do."""

_PLAIN: Final = re.compile(r"[A-Za-z0-9_.:/ -]+", re.ASCII)
"""Names of features that need no escape."""

_LARGEST: Final = 2.0**63
"""Numbers of this size may be whole ones of more than 64 bits, which no event has."""

_KINDS: Final = {kind.value: code for kind, code in CODE_OF.items()}


Columns = Mapping[str, Sequence[Any]]
"""What events that look alike have in each of their fields."""


class _Event(msgspec.Struct, kw_only=True, gc=False, tag_field="type", tag=""):
    id: Name
    model: Name
    time: str


class _Prediction(_Event, kw_only=True, gc=False, tag="prediction"):
    """The fields of :class:`Prediction`, all of which have to be right, whether or not they are read."""

    version: Name | None = None
    output: Scalar | None = None
    score: float | None = None
    probabilities: dict[Name, float] | None = None
    features: Any = None
    segments: dict[Name, str] | None = None
    usage: Usage | None = None
    safety: Safety | None = None
    subject: str | None = None
    variant: str | None = None


class _Feedback(_Event, kw_only=True, gc=False, tag="feedback"):
    """The fields of :class:`Feedback`."""

    prediction_id: Name
    kind: Literal[tuple(kind.value for kind in FeedbackKind)]  # type: ignore[valid-type]
    label: Scalar | None = None
    value: bool | float | None = None
    comment: str | None = None


class _Unlike(_Event, kw_only=True, gc=False, tag=""):
    """What no event is."""

    def __post_init__(self) -> None:
        """Refuse whatever says that it is."""
        raise ValueError("an event has a type")


class _Stamped(msgspec.Struct, gc=False):
    time: str


_decode_stamped = msgspec.json.Decoder(_Stamped).decode


class Look(NamedTuple):
    """How events of one topic look: how long their times are, and which features they have.

    None of either kind are those of events that have no features at all. *models* and *versions* are those
    that there are, none where they may be any.
    """

    stamp: int
    numeric: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    models: frozenset[str] = frozenset()
    versions: frozenset[str] = frozenset()

    def following(self, before: Look | None) -> Look:
        """Give the look of events that look so behind those that look as *before*: with all names of both."""
        if before is None or not before.models:
            return self if before is None else self._replace(models=before.models, versions=before.versions)
        models, versions = self.models | before.models, self.versions | before.versions
        if max(len(models), len(versions)) > NAMES_MAX:
            models = versions = frozenset()
        return self._replace(models=models, versions=versions)

    def decoder(self, of: type[Event]) -> msgspec.json.Decoder[msgspec.Struct]:
        """Make what decodes events of that class that look so, and refuses all others."""
        stamp = Annotated[str, msgspec.Meta(min_length=self.stamp, max_length=self.stamp)]
        base = _Prediction if of is Prediction else _Feedback
        fields: list[tuple[str, Any]] = [("time", stamp)]
        if self.models:
            fields.append(("model", Literal[tuple(sorted(self.models))]))
        if self.versions:
            fields.append(("version", Literal[tuple(sorted(self.versions))] | None))
        if of is Prediction:
            fields.append(("features", self._features()))
        tag = base.__struct_config__.tag
        made = msgspec.defstruct(
            "Alike", fields, bases=(base,), kw_only=True, gc=False, tag_field="type", tag=tag
        )
        return msgspec.json.Decoder(made | _Unlike)  # of a single class msgspec takes what has no type, too

    def columns(self, events: Sequence[msgspec.Struct]) -> Columns:
        """Give what *events*, decoded so, at least one, have in their fields."""
        names = type(events[0]).__struct_fields__
        return dict(zip(names, zip(*map(astuple, events), strict=True), strict=True))

    def predicted(self, columns: Columns) -> Predicted | None:
        """Give what predictions say; None where they have to be looked at one by one."""
        number = len(columns["id"])
        features: Table | Objects
        if self.numeric or self.categorical:
            features = self._table(list(zip(*map(astuple, columns["features"]), strict=True)), number)
            if (np.abs(features.numbers) >= _LARGEST).any():
                return None
        else:
            features = np.full(number, None)
        used, segments, versions = columns["usage"], columns["segments"], columns["version"]
        return Predicted(
            versions_of(versions),
            Scalars.of(columns["output"]),
            numbers_of(columns["score"]),
            usage_of(used),
            features,
            None if segments.count(None) == number else objects_of(segments),
        )

    def said(self, columns: Columns) -> Said:
        """Give what feedback says."""
        kinds, values = columns["kind"], columns["value"]
        number = len(kinds)
        codes = np.full(number, _KINDS[kinds[0]], dtype=np.uint8)
        if kinds.count(kinds[0]) < number:
            codes[:] = [_KINDS[kind] for kind in kinds]
        return Said(
            hashes_of(columns["prediction_id"]),
            codes,
            Scalars.of(columns["label"]),
            None if values.count(None) == number else numbers_of(values),
        )

    def _table(self, given: Sequence[Sequence[Any]], number: int) -> Table:
        """Put the values of features, *number* of each, numeric ones first, into a table."""
        rows = len(self.numeric)
        numbers = np.empty((rows, number))
        for row, column in zip(numbers, given[:rows], strict=True):
            row[:] = numbers_of(column)
        categories = np.empty((len(self.categorical), number), dtype=np.object_)
        for place, column in enumerate(given[rows:]):
            categories[place] = column
        return Table(self.numeric, self.categorical, numbers, categories)

    def _features(self) -> type[msgspec.Struct] | None:
        names = (*self.numeric, *self.categorical)
        if not names:
            return None
        kinds: list[Any] = [float | None] * len(self.numeric) + [str | None] * len(self.categorical)
        own = [f"f{place}" for place in range(len(names))]
        return msgspec.defstruct(
            "Features",
            list(zip(own, kinds, strict=True)),
            rename=dict(zip(own, names, strict=True)),
            gc=False,
            forbid_unknown_fields=True,
        )


def look_of(raw: bytes, events: Sequence[Event]) -> Look | None:
    """Give how *events* look, all of one class, the first of them decoded from *raw*; None if not alike."""
    stamp, models = len(_decode_stamped(raw).time), frozenset(event.model for event in events)
    if not isinstance(events[0], Prediction):
        return Look(stamp, models=models) if isinstance(events[0], Feedback) else None
    predictions = cast("Sequence[Prediction]", events)
    described = [event.features for event in predictions]
    versions = frozenset(event.version for event in predictions if event.version is not None)
    if described.count(None) == len(described):
        return Look(stamp, models=models, versions=versions)
    names = sorted(described[0] or ())
    if not (0 < len(names) <= FEATURES_MAX and all(map(_PLAIN.fullmatch, names))):
        return None
    if any(one is None or one.keys() != set(names) for one in described):
        return None
    columns = {
        name: {type(cast("Features", one)[name]) for one in described} - {type(None)} for name in names
    }
    numeric = tuple(name for name, kinds in columns.items() if kinds and kinds <= {int, float})
    categorical = tuple(name for name, kinds in columns.items() if kinds == {str})
    if len(numeric) + len(categorical) < len(names):
        return None
    return Look(stamp, numeric, categorical, models, versions)


def versions_of(named: Sequence[str | None]) -> Objects:
    """Give the versions that predictions name; where they are one, that stands for all of them."""
    first = named[0]
    if first is not None and named.count(first) == len(named):
        return np.full(len(named), first, dtype=np.object_)
    return objects_of([version or UNVERSIONED for version in named])
