"""The models of a pipeline, by when they were seen last: who goes so that another one can come."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from stream.core.model import Model
from stream.core.names import Names

Make = Callable[[int], Model | None]
"""Makes the model that the event at a place is the first of; None where that event is not taken."""

Took = Callable[[Model, Sequence[int]], bool]
"""Decides which of a model's events at some places are taken; tells whether one is."""


class Part(NamedTuple):
    """Events *start* to before *stop* of a batch, and the models that go in it, each with the place where."""

    start: int
    stop: int
    evicted: Sequence[tuple[int, Model]]


class Roster:
    """At most *bound* models; one too many makes the one go that was unseen for longest."""

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._models: dict[str, Model] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._models

    def names(self) -> list[str]:
        """Give the names, those first that were unseen for longest."""
        return list(self._models)

    def models(self) -> list[Model]:
        """Give the models, those first that were unseen for longest."""
        return list(self._models.values())

    def get(self, name: str) -> Model | None:
        """Give a model that is watched."""
        return self._models.get(name)

    def add(self, model: Model) -> None:
        """Watch one more model."""
        self._models[model.name] = model

    def restore(self, models: Iterable[Model]) -> None:
        """Watch the models of a checkpoint."""
        self._models = {model.name: model for model in sorted(models, key=lambda one: one.last_seq)}

    def saw(self, names: Iterable[str]) -> None:
        """Take note that models were seen, in this order."""
        for name in names:
            self._models[name] = self._models.pop(name)

    def parts(self, names: Names, make: Make, took: Took) -> Iterator[Part]:
        """Cut a batch, events of the models *names*, so that who goes in a part goes at its beginning.

        Whoever asks takes a part, and says who was seen in it, before it asks for the next. The models that
        come and go in a part are exchanged when it is given: what a model that goes still had in it was not
        taken. A part ends only where a model would have to go that was itself seen in it, so it has as many
        different models as there may be.
        """
        start, stop = 0, len(names)
        if len(self._models.keys() | set(names.distinct)) <= self._bound:
            if stop:
                yield Part(start, stop, ())
            return
        evicted: list[tuple[int, Model]] = []
        met: dict[str, list[int]] = {}
        oldest = self._oldest(stop)
        for place, name in enumerate(names):
            if name in self._models:
                met.setdefault(name, []).append(place)
                continue
            model = make(place)
            if model is None:
                continue
            going: list[tuple[int, Model]] = []
            while len(self._models) >= self._bound:
                candidate = next(oldest, None)
                if candidate is None:
                    yield Part(start, place, evicted)
                    start, evicted, met = place, [], {}
                    oldest = self._oldest(stop - place)
                elif not (places := met.pop(candidate.name, None)) or not took(candidate, places):
                    del self._models[candidate.name]
                    going.append((place, candidate))
            evicted += going
            self._models[name] = model
            met[name] = [place]
        if start < stop:
            yield Part(start, stop, evicted)

    def _oldest(self, events: int) -> Iterator[Model]:
        """Give the models as they stand now, as many as so many events can ask for."""
        enough = events + max(0, len(self._models) - self._bound)
        return iter(list(islice(self._models.values(), enough)))
