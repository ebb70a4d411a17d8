"""Admission: of the events of one model, which are taken: not twice, not too late, not from the future."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.alerts import RejectReason
from schemas.policy import Policy
from stream.core.columns import Arrivals
from stream.core.hashed import Hashes, HashIndex, repeated
from stream.core.nouns import TOPIC_OF, TYPE_NAMES, Topic
from stream.core.seen import CHUNK_IDS, SeenIds

_TOGETHER: Final = 3
"""Groups from which on they are admitted together."""

_NAME_OF: Final = {topic: TYPE_NAMES[kind] for kind, topic in TOPIC_OF.items()}


class Refusal(NamedTuple):
    """Why an event is not taken; a *reason* of None says that it was taken before."""

    reason: RejectReason | None
    detail: str = ""


KNOWN: Final = Refusal(None)


def takes_first(policy: Policy, time: float, now: float) -> bool:
    """Tell whether the first event of a model, at *time*, is taken. Both are in seconds since the epoch."""
    horizons = policy.horizons
    return time - now <= horizons.future_seconds and -time <= horizons.lateness_seconds


class Admission:
    """Decides which events of one model are taken, topic by topic.

    Late is measured against the newest time that the same topic has shown for the model, so that predictions
    read ahead of their labels do not make the labels late.
    """

    def __init__(self, model: str, policy: Policy, index: HashIndex | None = None) -> None:
        """Keep what was seen in *index*, which those of all models of a pipeline share; else alone."""
        self.model = model
        self.lateness = policy.horizons.lateness_seconds
        self.future = policy.horizons.future_seconds
        self.newest = dict.fromkeys(Topic, 0.0)
        self.seen = {topic: SeenIds(policy.bounds.seen_ids, index) for topic in Topic}

    def admit(
        self, topic: Topic, ids: Sequence[str], hashes: Hashes, times: NDArray[np.float64], now: float
    ) -> list[Refusal | None] | None:
        """Take the events of *topic* with these *ids*, their *hashes*, and *times*, in the log's order.

        All are of shape (n,). Gives for each the refusal, None for one that is taken; None alone where all of
        them are. Times and *now* are in seconds since the epoch.
        """
        seen, newest = self.seen[topic], self.newest[topic]
        if not self._is_odd(times, newest, now) and seen.add_new(ids, hashes):
            self.newest[topic] = max(newest, float(times.max()))
            return None
        verdicts: list[Refusal | None] = []
        for event_id, time in zip(ids, times.tolist(), strict=True):
            refusal = KNOWN if event_id in seen else self.refuse(topic, time, now)
            if refusal is None:
                seen.add(event_id)
                self.newest[topic] = max(self.newest[topic], time)
            verdicts.append(refusal)
        return verdicts

    def refuse(self, topic: Topic, time: float, now: float) -> Refusal | None:
        """Give why an event of that time is not taken; None when it may be. Times are epoch seconds."""
        ahead = time - now
        if ahead > self.future:
            detail = f"{ahead:.0f} s ahead of the clock, {self.future:.0f} are allowed"
            return Refusal(RejectReason.FUTURE, detail)
        behind = self.newest[topic] - time
        if behind > self.lateness:
            detail = (
                f"{behind:.0f} s behind the newest {_NAME_OF[topic]} of {self.model}, "
                f"{self.lateness:.0f} are allowed"
            )
            return Refusal(RejectReason.LATE, detail)
        return None

    def release(self) -> None:
        """Forget what was seen: the model is watched no longer."""
        for seen in self.seen.values():
            seen.release()

    def _is_odd(self, times: NDArray[np.float64], newest: float, now: float) -> bool:
        """Tell whether one of the events, if all were taken, would be from the future or late."""
        if float(times.max()) - now > self.future:
            return True
        before = np.maximum(np.maximum.accumulate(times), newest)
        return bool((before - times > self.lateness).any())


class Group(NamedTuple):
    """Events of one model and topic that ask to be taken, in the log's order."""

    admission: Admission
    topic: Topic
    events: Arrivals


def admit_together(
    groups: Sequence[Group], index: HashIndex, now: float
) -> list[list[Refusal | None] | None]:
    """Give for each group what :meth:`Admission.admit` gives, for all of them at once.

    They are of one batch, no two of one model and topic; *index* is the one that their admissions share.
    """
    if len(groups) < _TOGETHER:
        return [_alone(group, now) for group in groups]
    ends = np.cumsum([0, *(len(group.events) for group in groups)])
    places, batch = np.concatenate([group.events.places for group in groups]), groups[0].events.batch
    hashes, times = batch.hashes[places], batch.times[places]
    of_each = np.repeat(np.arange(len(groups)), np.diff(ends))
    seen = [group.admission.seen[group.topic] for group in groups]
    keys = hashes ^ np.array([store.salt for store in seen])[of_each]
    newest = np.array([group.admission.newest[group.topic] for group in groups])
    latest = np.maximum(np.maximum.reduceat(times, ends[:-1]), newest)
    lateness = np.array([group.admission.lateness for group in groups])
    future = np.array([group.admission.future for group in groups])
    is_odd = latest - now > future
    is_odd |= latest - np.minimum.reduceat(times, ends[:-1]) > lateness
    slots = None if is_odd.any() else index.claim(keys)
    if slots is None:
        is_odd[of_each[repeated(keys)]] = True
        is_odd[of_each[index.find(keys) >= 0]] = True
        slots = index.claim(keys[~is_odd[of_each]])
    plain = np.flatnonzero(~is_odd).tolist()
    bounds = list(pairwise(ends.tolist()))
    if slots is not None and plain:
        first = np.array([store.position for store in seen]) - ends[:-1]
        chunks = (first[of_each] + np.arange(len(keys))) // CHUNK_IDS
        index.put(slots, chunks[~is_odd[of_each]])
    ids = batch.ids_at(places)
    for at in plain:
        start, end = bounds[at]
        seen[at].append(ids[start:end], hashes[start:end])
        groups[at].admission.newest[groups[at].topic] = float(latest[at])
    verdicts: list[list[Refusal | None] | None] = [None] * len(groups)
    for at in np.flatnonzero(is_odd).tolist():
        admission, topic, _ = groups[at]
        (start, end) = bounds[at]
        verdicts[at] = admission.admit(topic, ids[start:end], hashes[start:end], times[start:end], now)
    return verdicts


def _alone(group: Group, now: float) -> list[Refusal | None] | None:
    admission, topic, events = group
    return admission.admit(topic, events.ids(), events.hashes(), events.times(), now)
