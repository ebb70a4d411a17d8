"""The join: a prediction and its feedback meet, whichever comes first, within bounds of time and number."""

from __future__ import annotations

from itertools import count
from typing import Any

import msgspec
import pytest

from schemas.events import Event, Feedback
from schemas.policy import Bounds, Horizons, Policy
from stream.core.columns import Batch
from stream.core.join import Join
from stream.core.nouns import TOPIC_OF, UNVERSIONED, Admitted, Outcome, Record, Tally
from tests.flow.timeline import Happening, at, feedback, label, prediction, to_bytes

LABEL, ORPHAN, AHEAD = 1_000.0, 100.0, 10.0
_numbers = count()


def a_join(**bounds: int) -> Join:
    horizons = Horizons(label_seconds=LABEL, orphan_seconds=ORPHAN, future_seconds=AHEAD)
    return Join("m", Policy(horizons=horizons, bounds=Bounds(**bounds)))


def admitted(time: float, happening: Happening) -> Admitted:
    seq = next(_numbers)
    event: Event = msgspec.json.decode(to_bytes(at(time), happening), type=Event)
    return Admitted(seq, at(time), event, Record(TOPIC_OF[type(event)], 0, seq, at(time), b""))


class Matching:
    """A join with what it counted."""

    def __init__(self, join: Join) -> None:
        self.join = join
        self.tally = Tally()

    def match(self, *happened: tuple[float, Happening]) -> list[Outcome]:
        batch = Batch.of([admitted(time, happening) for time, happening in happened])
        return [outcome for part in self.join.match(batch.all(), self.tally) for outcome in part.own()]

    def counted(self, name: str) -> float:
        return sum(value for (known, _), value in self.tally.counts.items() if known == name)

    def gauge(self, name: str) -> float:
        self.join.gauges(self.tally)
        return self.tally.gauges[name, ("m",)]


@pytest.fixture
def m() -> Matching:
    return Matching(a_join())


def test_a_label_after_its_prediction_makes_an_outcome(m: Matching) -> None:
    [outcome] = m.match((0, prediction("a", 1, version="2", score=0.7)), (5, label("a", 0)))
    assert outcome.prediction == (at(0), "2", 1, 0.7)
    assert (outcome.feedback.label, outcome.feedback_time, outcome.time) == (0, at(5), at(5))
    assert outcome.at.event.id == "label-of-a"


def test_a_label_before_its_prediction_makes_an_outcome_with_the_prediction(m: Matching) -> None:
    assert m.match((5, label("a", 0))) == []
    [outcome] = m.match((0, prediction("a")))
    assert outcome.at.event.id == "a"
    assert outcome.time == at(5)


def test_a_prediction_without_version_is_unversioned(m: Matching) -> None:
    [outcome] = m.match((0, prediction("a")), (1, label("a", 1)))
    assert outcome.prediction.version == UNVERSIONED


@pytest.mark.parametrize("truth", [label("a", 1), feedback("a", "override", label=1)])
def test_the_truth_ends_the_waiting(m: Matching, truth: Happening) -> None:
    assert len(m.match((0, prediction("a")), (1, truth))) == 1
    assert m.match((2, label("a", 0, id="again"))) == []
    assert m.gauge("pending_predictions") == 0


@pytest.mark.parametrize("kind", ["label", "override"])
def test_feedback_that_says_what_was_true_without_a_label_says_nothing(m: Matching, kind: str) -> None:
    m.match((0, prediction("a")), (1, feedback("a", kind, id="empty")))
    assert m.gauge("pending_predictions") == 1
    assert len(m.match((2, label("a", 1)))) == 1


def test_opinions_do_not_end_the_waiting(m: Matching) -> None:
    thumbs, rating = feedback("a", "thumbs", value=True), feedback("a", "rating", value=3)
    assert len(m.match((0, prediction("a")), (1, thumbs), (2, rating), (3, label("a", 1)))) == 3


def test_several_feedback_events_that_came_first_are_matched_in_their_order(m: Matching) -> None:
    thumbs = feedback("a", "thumbs", value=True)
    m.match((1, thumbs), (2, label("a", 1)), (3, feedback("a", "rating", value=3)))
    kinds = [outcome.feedback.kind for outcome in m.match((4, prediction("a")))]
    assert kinds == ["thumbs", "label"], "the rating came after the label"
    assert m.counted("orphans_total") == 1


def test_a_label_at_the_very_end_of_its_horizon_counts(m: Matching) -> None:
    assert len(m.match((0, prediction("a")), (LABEL, label("a", 1)))) == 1


def test_a_label_after_its_horizon_does_not_count(m: Matching) -> None:
    assert m.match((0, prediction("a")), (LABEL + 1, label("a", 1))) == []
    assert m.counted("orphans_total") == 1
    m.match((LABEL + AHEAD + 1, prediction("b")))
    assert m.counted("unlabelled_total") == 1
    assert m.gauge("label_coverage_ratio") == 0


@pytest.mark.parametrize("batches", [1, 3])
@pytest.mark.parametrize("said", [LABEL - 1, LABEL])
def test_one_event_as_far_ahead_as_may_be_takes_no_label_from_others(batches: int, said: float) -> None:
    m = Matching(a_join())
    happened = [(0.0, prediction("a")), (said + AHEAD, prediction("fast-clock")), (said, label("a", 1))]
    outcomes = m.match(*happened) if batches == 1 else [o for each in happened for o in m.match(each)]
    assert [outcome.prediction.time for outcome in outcomes] == [at(0)]


def test_one_event_as_far_ahead_as_may_be_takes_no_prediction_from_feedback_that_waits(m: Matching) -> None:
    m.match((0, label("a", 1)))
    m.match((ORPHAN + AHEAD, prediction("fast-clock")))
    assert len(m.match((ORPHAN, prediction("a")))) == 1


def test_a_label_from_after_the_horizon_that_came_first_does_not_count(m: Matching) -> None:
    m.match((LABEL + 50, label("a", 1)))
    assert m.match((0, prediction("a"))) == []
    assert m.counted("orphans_total") == 1


def test_a_label_that_never_comes_counts_when_its_horizon_is_over(m: Matching) -> None:
    m.match((0, prediction("a")))
    m.match((LABEL + AHEAD, prediction("b")))
    assert m.counted("unlabelled_total") == 0
    m.match((LABEL + AHEAD + 1, prediction("c")))
    assert m.counted("unlabelled_total") == 1
    assert m.gauge("pending_predictions") == 2


def test_feedback_whose_prediction_never_comes_is_an_orphan(m: Matching) -> None:
    m.match((0, label("a", 1)))
    m.match((ORPHAN + AHEAD + 1, prediction("b")))
    assert m.counted("orphans_total") == 1
    assert m.match((ORPHAN + AHEAD + 2, prediction("a"))) == []


@pytest.mark.parametrize("batches", [1, 3])
def test_orphans_are_too_old_however_the_log_is_cut(batches: int) -> None:
    m = Matching(a_join())
    late = ORPHAN + AHEAD + 1
    happened = [(0.0, label("a", 1)), (late, prediction("b")), (late + 1, prediction("a"))]
    outcomes = m.match(*happened) if batches == 1 else [o for each in happened for o in m.match(each)]
    assert outcomes == []
    assert m.counted("orphans_total") == 1


@pytest.mark.parametrize("batches", [1, 4])
def test_feedback_after_an_orphan_that_was_too_old_waits_anew_however_the_log_is_cut(batches: int) -> None:
    m = Matching(a_join())
    late = ORPHAN + AHEAD + 1
    happened: list[tuple[float, Happening]] = [
        (0.0, feedback("a", "thumbs", value=True)),
        (late, prediction("b")),
        (late, label("a", 1)),
        (late, prediction("a")),
    ]
    outcomes = m.match(*happened) if batches == 1 else [o for each in happened for o in m.match(each)]
    assert [outcome.feedback.kind for outcome in outcomes] == ["label"]


def test_predictions_beyond_the_bound_make_the_oldest_go() -> None:
    m = Matching(a_join(pending=2))
    m.match((0, prediction("a")), (1, prediction("b")), (2, prediction("c")))
    assert m.tally.counts["evicted_total", ("pending",)] == 1
    assert m.match((3, label("a", 1)), (4, label("b", 1)))[0].prediction.time == at(1)


def test_orphans_beyond_the_bound_make_the_oldest_go() -> None:
    m = Matching(a_join(orphans=2))
    m.match((0, label("a", 1)), (1, label("b", 1)), (2, label("c", 1)))
    assert m.tally.counts["evicted_total", ("orphans",)] == 1
    assert m.match((3, prediction("a"))) == []


def test_feedback_on_one_missing_prediction_is_bounded() -> None:
    m = Matching(a_join(orphan_feedback=20))
    flood = [(0.0, feedback("a", "rating", value=n, id=f"r{n}")) for n in range(25)]
    m.match(*flood)
    assert m.tally.counts["evicted_total", ("orphans",)] == 5
    outcomes = m.match((1, prediction("a")))
    assert [o.feedback.value for o in outcomes][:1] == [5.0]
    assert len(outcomes) == 20


def test_the_delay_of_labels_is_observed_and_never_negative(m: Matching) -> None:
    m.match((0, prediction("a")), (7, label("a", 1)))
    m.match((10, prediction("b")), (9, label("b", 1)))
    m.match((20, prediction("c")), (29, feedback("c", "thumbs", value=True)))
    assert m.tally.observations["label_delay_seconds", ("m",)] == [7.0, 0.0]


def test_other_events_only_move_the_clock(m: Matching) -> None:
    happening: dict[str, Any] = {"type": "lifecycle", "id": "l", "model": "m", "kind": "retired"}
    m.match((0, prediction("a")))
    m.match((LABEL + AHEAD + 1, happening))
    assert m.counted("unlabelled_total") == 1


def test_no_coverage_is_told_before_anything_ended(m: Matching) -> None:
    m.match((0, prediction("a")))
    m.join.gauges(m.tally)
    assert ("label_coverage_ratio", ("m",)) not in m.tally.gauges


def test_feedback_keeps_all_of_itself_while_it_waits() -> None:
    join = a_join()
    Matching(join).match((0, label("a", 1, comment="why", extra="ignored")))
    restored = a_join()
    rows = {key: row for key, row in join.orphans.rows().items() if row is not None}
    assert restored.orphans.restore(rows) == []
    waiting = restored.orphans.get("a")
    assert waiting is not None
    assert isinstance(waiting.feedback[0], Feedback)
    assert waiting.feedback[0].comment == "why"
