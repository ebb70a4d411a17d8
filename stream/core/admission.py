"""Admission: of the events of one model, which are taken: not twice, not too late, not from the future."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.alerts import RejectReason
from schemas.policy import Policy
from stream.core.hashed import Hashes
from stream.core.nouns import TOPIC_OF, TYPE_NAMES, Topic
from stream.core.seen import SeenIds

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

    def __init__(self, model: str, policy: Policy) -> None:
        self._model = model
        self._lateness = policy.horizons.lateness_seconds
        self._future = policy.horizons.future_seconds
        self.newest = dict.fromkeys(Topic, 0.0)
        self.seen = {topic: SeenIds(policy.bounds.seen_ids) for topic in Topic}

    def admit(
        self, topic: Topic, ids: Sequence[str], hashes: Hashes, times: NDArray[np.float64], now: float
    ) -> list[Refusal | None] | None:
        """Take the events of *topic* with these *ids*, their *hashes*, and *times*, in the log's order.

        All are of shape (n,). Gives for each the refusal, None for one that is taken; None alone where all of
        them are. Times and *now* are in seconds since the epoch.
        """
        seen, newest = self.seen[topic], self.newest[topic]
        is_plain = len(set(ids)) == len(ids) and not self._is_odd(times, newest, now)
        if is_plain and seen.add_new(ids, hashes):
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
        if ahead > self._future:
            detail = f"{ahead:.0f} s ahead of the clock, {self._future:.0f} are allowed"
            return Refusal(RejectReason.FUTURE, detail)
        behind = self.newest[topic] - time
        if behind > self._lateness:
            detail = (
                f"{behind:.0f} s behind the newest {_NAME_OF[topic]} of {self._model}, "
                f"{self._lateness:.0f} are allowed"
            )
            return Refusal(RejectReason.LATE, detail)
        return None

    def _is_odd(self, times: NDArray[np.float64], newest: float, now: float) -> bool:
        """Tell whether one of the events, if all were taken, would be from the future or late."""
        if float(times.max()) - now > self._future:
            return True
        before = np.maximum(np.maximum.accumulate(times), newest)
        return bool((before - times > self._lateness).any())
