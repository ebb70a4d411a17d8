"""Lines of a JSON Lines file to the records that they are, or would be, in the topics."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final, NamedTuple

import msgspec

from stream.core.nouns import TOPIC_OF, TYPE_NAMES, Topic

TOPIC_OF_TYPE: Final = {TYPE_NAMES[kind]: topic for kind, topic in TOPIC_OF.items()}


class Part(NamedTuple):
    """What one record holds: an event, an array of events of one type, or something that is neither.

    *model* is the record's key and *time*, in seconds since the epoch, its timestamp; None where unknown.
    """

    topic: Topic
    model: str | None
    time: float | None
    value: bytes


class _Peek(msgspec.Struct, gc=False):
    type: str
    model: str
    time: datetime


_peek = msgspec.json.Decoder(_Peek)
_elements = msgspec.json.Decoder(list[msgspec.Raw])


class _Type(msgspec.Struct, gc=False):
    type: str


_type = msgspec.json.Decoder(_Type)


def topic_of(line: bytes) -> Topic | None:
    """Give the topic of a line that is one event; None where :func:`parts` must look."""
    try:
        return TOPIC_OF_TYPE[_type.decode(line).type]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError):
        return None


def parts(line: bytes) -> Iterator[Part]:
    """Give the records that *line* makes: one, or one for each run of a type where an array mixes types.

    What cannot be read goes to the predictions as it is, where intake says what is wrong with it.
    """
    if not line.lstrip().startswith(b"["):
        yield _single(line)
        return
    try:
        elements = [_single(bytes(element)) for element in _elements.decode(line)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        yield Part(Topic.PREDICTIONS, None, None, line)
        return
    if len({element.topic for element in elements}) <= 1:
        first = next((e for e in elements if e.model is not None), None)
        topic = elements[0].topic if elements else Topic.PREDICTIONS
        yield Part(topic, first.model if first else None, first.time if first else None, line)
        return
    run: list[Part] = []
    for element in elements:
        if run and run[0].topic is not element.topic:
            yield _array(run)
            run = []
        run.append(element)
    yield _array(run)


def _single(value: bytes) -> Part:
    try:
        peek = _peek.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Part(topic_of(value) or Topic.PREDICTIONS, None, None, value)
    topic = TOPIC_OF_TYPE.get(peek.type, Topic.PREDICTIONS)
    time = peek.time.timestamp() if peek.time.tzinfo else None
    return Part(topic, peek.model, time, value)


def _array(run: list[Part]) -> Part:
    first = next((part for part in run if part.model is not None), run[0])
    value = b"[" + b",".join(part.value for part in run) + b"]"
    return Part(run[0].topic, first.model, first.time, value)
