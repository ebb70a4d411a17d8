"""Decoding: the values of records to events in columns, quickly where the events look alike."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat
from operator import contains
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from schemas.codec import FAULTS, are_plain, decode_plainly
from schemas.events import Event, Feedback, Prediction
from stream.core.contents import Predicted, Said
from stream.core.decoded import Decoded, Encoded, OfTopic
from stream.core.hashed import Hashes, hashes_of
from stream.core.looks import Look, look_of
from stream.core.nouns import TOPIC_OF, Topic
from stream.core.records import only
from stream.core.stamps import seconds_of

AT_HAND: Final = 512
"""Events that are decoded at a time: more of them than a core's cache holds are looked up in memory."""

REST_MAX: Final = 64
"""Slices, at most, that are decoded as any event is before it is tried again whether events look alike."""

_SAID: Final = b'"prediction_id"'
"""What all feedback has, and predictions hardly ever."""

_CLASS_OF: Final = {topic: cast("type[Event]", kind) for kind, topic in TOPIC_OF.items()}


class Decoding:
    """Decodes the values of records, slice by slice, and remembers how the events of each topic look."""

    def __init__(self, at_hand: int = AT_HAND) -> None:
        """Decode *at_hand* events at a time."""
        self._of_topic = {topic: _Topic(kind, at_hand) for topic, kind in _CLASS_OF.items()}

    def read(self, values: Sequence[bytes | None], topics: NDArray[np.int8] | None = None) -> Decoded | None:
        """Decode *values*, an event each; None where one of them must be judged alone.

        *topics*, shape (n,), are those on which they came, where that is known: there each must belong.
        """
        if topics is not None:
            return self._read(values, topics)
        if values.count(None):
            return None
        is_said = list(map(contains, cast("Sequence[bytes]", values), repeat(_SAID)))
        guessed = np.where(is_said, np.int8(Topic.FEEDBACK), np.int8(Topic.PREDICTIONS))
        decoded = self._read(values, guessed)
        if decoded is None and (events := decode_plainly(values)) is not None:
            return Decoded.of(events)
        return decoded

    def _read(self, values: Sequence[bytes | None], topics: NDArray[np.int8]) -> Decoded | None:
        numbers = np.bincount(topics, minlength=len(Topic)).tolist()
        columns = [OfTopic.of([]) for _ in Topic]
        contents: list[list[Any]] = [[] for _ in Topic]
        for topic in Topic:
            if not numbers[topic]:
                continue
            read = self._of_topic[topic].read(only(values, topics == topic))
            if read is None:
                return None
            columns[topic], contents[topic] = read
        predicted, said = (contents[topic] for topic in (Topic.PREDICTIONS, Topic.FEEDBACK))
        return Decoded.joined(
            Encoded(values), topics, columns, Predicted.joined(predicted), Said.joined(said)
        )


class _Topic:
    """Decodes events of one class, and remembers how they look."""

    def __init__(self, kind: type[Event], at_hand: int) -> None:
        self._kind = kind
        self._at_hand = at_hand
        self._look: Look | None = None
        self._decode: Any = None
        self._rest = self._misses = 0

    def read(self, values: Sequence[bytes | None]) -> tuple[OfTopic, list[Predicted | Said]] | None:
        """Give the columns of *values*, and what they say in parts; None where one must be judged alone."""
        models: list[str] = []
        ids: list[str] = []
        hashes: list[Hashes] = []
        times: list[tuple[int, str] | NDArray[np.float64]] = []
        contents: list[Predicted | Said] = []
        for start in range(0, len(values), self._at_hand):
            part = values[start : start + self._at_hand]
            if not are_plain(part):
                return None
            if (fields := self._alike(part)) is not None:
                columns, content = fields
                own = columns["model"]
                models += [own[0]] * len(own) if own.count(own[0]) == len(own) else own
                ids += columns["id"]
                hashes.append(hashes_of(columns["id"]))
                times.append((cast("Look", self._look).stamp, "".join(columns["time"])))
                contents.append(content)
                continue
            events = decode_plainly(part)
            if events is None or set(map(type, events)) != {self._kind}:
                return None
            self._learn(part, events)
            one = OfTopic.of(events)
            models += one.models
            ids += one.ids
            hashes.append(one.hashes)
            times.append(one.times)
            if self._kind is Prediction:
                contents.append(Predicted.of(cast("list[Prediction]", events)))
            elif self._kind is Feedback:
                contents.append(Said.of(cast("list[Feedback]", events)))
        seconds = _seconds(times)
        if seconds is None:
            self._rest = len(values) // self._at_hand + REST_MAX
            return self.read(values)
        return OfTopic(models, ids, np.concatenate(hashes), seconds), contents

    def _alike(self, part: Sequence[bytes]) -> tuple[Any, Predicted | Said] | None:
        """Give the columns of *part* and what it says; None where it does not look as it should."""
        if self._look is None or self._rest:
            return None
        try:
            columns = self._look.columns(list(map(self._decode, part)))
        except FAULTS:
            self._rest = min(2**self._misses, REST_MAX)
            self._misses += 1
            return None
        content = self._look.predicted(columns) if self._kind is Prediction else self._look.said(columns)
        if content is None:
            return None
        self._misses = 0
        return columns, content

    def _learn(self, part: Sequence[bytes | None], events: Sequence[Event]) -> None:
        """Take note of how *events*, which were decoded from *part*, look."""
        if self._rest > 1:
            self._rest -= 1
            return
        self._rest = 0
        look = look_of(cast("bytes", part[0]), events)
        if look is not None and (look := look.following(self._look)) != self._look:
            self._look, self._decode = look, look.decoder(self._kind).decode


def _seconds(times: Sequence[tuple[int, str] | NDArray[np.float64]]) -> NDArray[np.float64] | None:
    """Give times in epoch seconds, some of which are so already; None where a stamp is none."""
    stamped = [one for one in times if isinstance(one, tuple)]
    if len(stamped) == len(times) and len({length for length, _ in stamped}) == 1:
        together = "".join([text for _, text in stamped])
        return seconds_of(together.encode("ascii", "replace"), stamped[0][0])
    each: list[NDArray[np.float64]] = []
    for one in times:
        own = seconds_of(one[1].encode("ascii", "replace"), one[0]) if isinstance(one, tuple) else one
        if own is None:
            return None
        each.append(own)
    return np.concatenate(each)
