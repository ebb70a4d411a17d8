"""The benchmarks can be run and say what is true; how fast anything is, no test asserts."""

from __future__ import annotations

from statistics import mean

from benchmarks.context import Figures
from benchmarks.events import Entry, Load, entries
from benchmarks.specs import MEASURES, SPECS, chosen, rows
from benchmarks.table import Report, Row, Target, markdown
from schemas.alerts import Source
from schemas.codec import decode
from schemas.events import Feedback, Prediction

LOAD = Load(predictions=3_000, models=2, versions=2)
SOURCE = Source(topic="t", partition=0, offset=0)


def fake_row(*, value: float | None, judged: bool = True, missing: str = "") -> Row:
    return Row(
        name="worker / bare loop",
        broker="kafka",
        unit="x",
        target=Target(">=", 1.0),
        value=value,
        low=value,
        high=value,
        missing=missing,
        judged=judged,
    )


def page(*of: Row) -> str:
    figures = [("worker", "kafka", {"predictions/s": [3.0, 1.0, 2.0]})]
    return markdown(Report("2026-01-01", {"cores": "2"}, {"river": "1"}, "quick", of, figures))


def values_of(topic: str, load: Load = LOAD) -> list[bytes]:
    return [entry.value for entry in entries(load) if entry.topic == topic]


def test_every_generated_event_decodes() -> None:
    events = [decode(entry.value, SOURCE) for entry in entries(LOAD)]
    assert [type(event) for event in events].count(Prediction) == LOAD.predictions
    assert [type(event) for event in events].count(Feedback) == LOAD.predictions


def test_a_prediction_has_about_300_bytes() -> None:
    sizes = [len(value) for value in values_of("predictions", Load(predictions=1_000))]
    assert 290 <= mean(sizes) <= 310
    assert min(sizes) > 270
    assert max(sizes) < 330


def test_the_same_load_gives_the_same_bytes_and_another_seed_others() -> None:
    assert list(entries(LOAD)) == list(entries(LOAD))
    assert values_of("predictions") != values_of("predictions", Load(predictions=3_000, seed=1))


def test_labels_follow_their_predictions_by_a_thousand_in_the_order_of_time() -> None:
    log: list[Entry] = list(entries(Load(predictions=3_000)))
    place = {entry.value[:120]: number for number, entry in enumerate(log)}
    assert len(place) == len(log)
    assert [entry.timestamp_ms for entry in log] == sorted(entry.timestamp_ms for entry in log)
    first_label = next(number for number, entry in enumerate(log) if entry.topic == "feedback")
    assert first_label == 1_001


def test_a_target_that_is_missed_is_called_missed() -> None:
    text = page(fake_row(value=0.5))
    assert "| missed |" in text
    assert "**1 missed:** worker / bare loop on kafka (0.5)" in text


def test_a_target_that_is_reached_holds() -> None:
    text = page(fake_row(value=1.25))
    assert "| holds |" in text
    assert "missed |" not in text
    assert "No target that was measured is missed." in text


def test_a_row_without_figures_says_why() -> None:
    assert "not available: no Java" in page(fake_row(value=None, missing="not available: no Java"))


def test_a_run_that_was_too_small_judges_nothing() -> None:
    text = page(fake_row(value=0.5, judged=False))
    assert "not judged" in text
    assert "1 missed" not in text


def test_a_ratio_is_that_of_medians_and_its_spread_that_of_rounds() -> None:
    specs, _ = chosen(["replay"])
    found: dict[tuple[str, str], list[Figures]] = {
        ("replay", "-"): [{"predictions/s": value} for value in (10.0, 20.0, 90.0)],
        ("bare loop", "-"): [{"predictions/s": value} for value in (10.0, 10.0, 30.0)],
    }
    (row,) = rows(specs, found, {}, ["embedded"], is_full=True)
    assert (row.value, row.low, row.high) == (2.0, 1.0, 3.0)


def test_every_row_names_measures_that_exist() -> None:
    names = {measure.name for measure in MEASURES}
    assert {name for spec in SPECS for name, _ in (spec.of, spec.to or spec.of)} <= names


def test_a_row_brings_the_measure_that_gives_its_rate() -> None:
    _, measures = chosen(["latency"])
    assert [measure.name for measure in measures] == ["worker", "latency"]
