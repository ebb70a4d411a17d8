"""The demo's flights are one fixed log: ordered, complete, honest about what was known when."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import date, datetime
from typing import TYPE_CHECKING

import pytest

from stream.demo.classifier import train
from stream.demo.flights import (
    FIRST_DAY,
    MODEL,
    Flight,
    FlightEvent,
    FlightsMissingError,
    events,
    read_flights,
    summarise,
    trained_classifier,
    write_jsonl,
)

if TYPE_CHECKING:
    from pathlib import Path

LAST_OF_MARCH = date(2013, 3, 31)


@pytest.fixture(scope="module")
def flights() -> list[Flight]:
    try:
        return read_flights()
    except FlightsMissingError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def march(flights: list[Flight]) -> list[FlightEvent]:
    return list(events(last=LAST_OF_MARCH, flights=flights))


def test_every_flight_of_the_year_has_its_own_id(flights: list[Flight]) -> None:
    assert len({flight.id for flight in flights}) == len(flights) == 336_776


def test_every_event_has_its_own_id(march: list[FlightEvent]) -> None:
    assert len({event["id"] for event in march}) == len(march)


def test_the_order_is_total_by_time_then_predictions_then_departure_and_id(
    flights: list[Flight], march: list[FlightEvent]
) -> None:
    departs = {flight.id: flight.departs for flight in flights}
    order = []
    for event in march:
        is_label = event["type"] == "feedback"
        flight_id = event["prediction_id"] if event["type"] == "feedback" else event["id"]
        order.append((event["time"], is_label, departs[flight_id], flight_id))
    assert order == sorted(set(order))


def test_a_label_comes_after_its_prediction(march: list[FlightEvent]) -> None:
    predicted: dict[str, str] = {}
    for event in march:
        if event["type"] == "prediction":
            predicted[event["id"]] = event["time"]
        else:
            assert predicted[event["prediction_id"]] < event["time"]


def test_labels_are_late_out_of_order_and_sometimes_missing(march: list[FlightEvent]) -> None:
    summary = summarise(march)
    assert summary.predictions == 28_834
    assert 150 < summary.median_label_delay_minutes < 180
    assert 0.35 < summary.out_of_order_ratio < 0.5
    assert 0.02 < summary.never_labelled_ratio < 0.05


def test_the_error_is_a_signal_and_neither_perfect_nor_a_coin(march: list[FlightEvent]) -> None:
    assert 0.2 < summarise(march).error_ratio < 0.4


def test_the_same_days_give_the_same_bytes(flights: list[Flight], tmp_path: Path) -> None:
    def digest(name: str) -> str:
        path = tmp_path / name
        assert write_jsonl(path, last=date(2013, 3, 5), flights=flights) > 0
        return hashlib.sha256(path.read_bytes()).hexdigest()

    assert digest("first.jsonl") == digest("second.jsonl")


def test_the_classifier_sees_no_label_after_february(flights: list[Flight]) -> None:
    reversed_later = [
        flight if flight.day < FIRST_DAY or flight.late is None else replace(flight, late=not flight.late)
        for flight in flights
    ]
    assert trained_classifier(reversed_later) == trained_classifier(flights)


def test_the_classifier_calls_as_many_flights_late_as_were_late_in_training(flights: list[Flight]) -> None:
    classifier = trained_classifier(flights)
    known = [flight for flight in flights if flight.day < FIRST_DAY and flight.late is not None]
    answered = sum(classifier.answer(classifier.score(flight.features)) for flight in known)
    assert answered / sum(bool(flight.late) for flight in known) == pytest.approx(1.0, abs=0.01)


def test_features_hold_nothing_that_is_known_only_after_the_scheduled_departure(
    march: list[FlightEvent],
) -> None:
    names = {name for event in march if event["type"] == "prediction" for name in event["features"]}
    assert names == {
        "hour", "carrier", "origin", "destination", "distance", "scheduled_minutes", "seats",
    }  # fmt: skip


def test_an_unknown_aircraft_is_a_null_and_not_a_number(march: list[FlightEvent]) -> None:
    seats = [event["features"]["seats"] for event in march if event["type"] == "prediction"]
    assert 0.1 < seats.count(None) / len(seats) < 0.2
    assert 0 not in seats


def test_an_event_has_the_fields_of_version_1(march: list[FlightEvent]) -> None:
    for event in march[:1000]:
        assert event["model"] == MODEL
        assert event["time"].endswith("Z")
        assert datetime.fromisoformat(event["time"]).tzinfo is not None
        if event["type"] == "prediction":
            assert event["output"] in (0, 1)
            assert 0 < event["score"] < 1
            assert event["segments"].keys() == {"origin", "carrier"}
        else:
            assert event["kind"] == "label"
            assert event["label"] in (0, 1)


def test_clock_times_across_zones_become_true_durations(flights: list[Flight]) -> None:
    """Winter and summer agree, also where the destination (Honolulu, Phoenix, San Juan) has none."""
    minutes = {
        (flight.features["destination"], flight.day.month): flight.features["scheduled_minutes"]
        for flight in flights
        if flight.features["origin"] != "LGA"
    }
    for destination in ("HNL", "PHX", "SJU", "SFO", "BOS"):
        winter, summer = minutes[destination, 1], minutes[destination, 7]
        assert isinstance(winter, int)
        assert isinstance(summer, int)
        assert abs(winter - summer) < 45, destination  # a zone got wrong is an hour or more


def test_a_number_falls_into_the_cell_of_its_width_and_text_into_its_own() -> None:
    rows = [{"size": size, "colour": colour} for size in range(20) for colour in ("red", "blue")]
    classifier = train(rows, [row["colour"] == "red" for row in rows], widths={"size": 10})
    assert set(classifier.weights) == {("size", 0), ("size", 1), ("colour", "red"), ("colour", "blue")}
    assert classifier.answer(classifier.score({"size": 3, "colour": "red"})) == 1
    assert classifier.answer(classifier.score({"size": 3, "colour": "blue"})) == 0


def test_a_cell_that_training_never_saw_weighs_nothing() -> None:
    rows = [{"colour": colour} for colour in ("red", "blue") * 10]
    classifier = train(rows, [row["colour"] == "red" for row in rows], widths={})
    assert classifier.score({"colour": "green"}) == classifier.score({})


def test_a_missing_package_gives_an_error_that_says_how_to_install_it() -> None:
    with pytest.raises(FlightsMissingError, match=r"pip install 'driftline\[demo\]'"):
        read_flights("no_such_package_of_flights")
