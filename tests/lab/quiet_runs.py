"""What quiet costs and what it finds, measured: `python -m tests.lab.quiet_runs` prints the table.

False alarms: many runs without any change, each a slot and an account of its own, against what is declared.
Delay: against a CUSUM that knows both rates, and alarms as often as declared. Flights: the demo's own stream.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import datetime
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.core.nouns import utc
from stream.demo.flights import events
from stream.detectors.quiet import Family, Found, Pool, QuietBank, Spec

Floats = NDArray[np.float64]
Make = Callable[[np.random.Generator, int, int, int, dict[str, Floats]], Floats]

START: Final = 1_767_225_600.0
STEP_SECONDS: Final = 10.0
DAY: Final = 86_400.0
CHUNK: Final = 1_600
SHARES: Final = {Pool.PERFORMANCE: 0.6, Pool.DRIFT: 0.15, Pool.QUALITY: 0.15}


class Stationary(NamedTuple):
    """Series in which nothing changes; *make* gives values, shape (runs, n), from a place on."""

    spec: Spec
    make: Make


def bernoulli(p: float) -> Make:
    return lambda rng, runs, n, _start, _held: (rng.random((runs, n)) < p).astype(np.float64)


def _autoregressive(phi: float) -> Make:
    def make(rng: np.random.Generator, runs: int, n: int, _start: int, held: dict[str, Floats]) -> Floats:
        now = held["now"] if "now" in held else rng.standard_normal(runs)
        noise = rng.standard_normal((n, runs)) * np.sqrt(1.0 - phi * phi)
        for row in noise:
            now = phi * now + row
            row[:] = now
        held["now"] = now
        return np.ascontiguousarray(noise.T)

    return make


def _dependent_errors(phi: float) -> Make:
    latent = _autoregressive(phi)

    def make(rng: np.random.Generator, runs: int, n: int, start: int, held: dict[str, Floats]) -> Floats:
        return (latent(rng, runs, n, start, held) > 0.8416).astype(np.float64)

    return make


def _daily(rng: np.random.Generator, runs: int, n: int, start: int, _held: dict[str, Floats]) -> Floats:
    day = STEP_SECONDS * (start + np.arange(n)) % DAY / DAY
    rising: Floats = (rng.random((runs, n)) < 0.25 + 0.1 * np.sin(2 * np.pi * day)).astype(np.float64)
    return rising


_ERROR, _NUMBER = Spec(season=True), Spec(family=Family.NUMBER, pool=Pool.DRIFT)

STATIONARY: Final = {
    "error .2": Stationary(_ERROR, bernoulli(0.2)),
    "error .05": Stationary(_ERROR, bernoulli(0.05)),
    "errors of AR(1) .5": Stationary(_ERROR, _dependent_errors(0.5)),
    "errors of AR(1) .9": Stationary(_ERROR, _dependent_errors(0.9)),
    "daily season": Stationary(_ERROR, _daily),
    "normal": Stationary(_NUMBER, lambda rng, runs, n, _start, _held: rng.standard_normal((runs, n))),
    "lognormal": Stationary(
        _NUMBER, lambda rng, runs, n, _start, _held: np.exp(1.5 * rng.standard_normal((runs, n)))
    ),
    "AR(1) .5": Stationary(_NUMBER, _autoregressive(0.5)),
    "AR(1) .9": Stationary(_NUMBER, _autoregressive(0.9)),
}


class Alarms(NamedTuple):
    """False alarms that were declared and that were raised."""

    declared: float
    raised: int


def false_alarms(kind: Stationary, *, runs: int, days: float, budget: float, seed: int = 0) -> Alarms:
    """Watch *runs* series of *kind* for *days*, a reading every ten seconds."""
    rng = np.random.default_rng(seed)
    bank = QuietBank(false_alarms=budget)
    spec = kind.spec
    only_rise = not spec.has_cells
    slots = np.array(
        [_add(bank, spec, account=str(run), only_rise=only_rise) for run in range(runs)], np.intp
    )
    held: dict[str, Floats] = {}
    raised = 0
    for start in range(0, int(days * DAY / STEP_SECONDS), CHUNK):
        raised += len(_show(bank, slots, kind.make(rng, runs, CHUNK, start, held), start))
    return Alarms(runs * days / 30.0 * budget * SHARES[spec.pool], raised)


def model_of_21(*, runs: int, days: float, budget: float, seed: int = 0) -> Alarms:
    """Watch *runs* models of 21 series: an error, eight numbers, twelve data quality rates."""
    rng = np.random.default_rng(seed)
    bank = QuietBank(false_alarms=budget)
    quality = Spec(pool=Pool.QUALITY)
    layout = [
        *((_ERROR, bernoulli(0.15)),),
        *(
            (_NUMBER, STATIONARY[name].make)
            for name in ("normal",) * 4 + ("lognormal",) * 2 + ("AR(1) .5",) * 2
        ),
        *((quality, bernoulli(p)) for p in (0.002,) * 6 + (0.0,) * 6),
    ]
    columns = [
        np.array([_add(bank, spec, account=str(run), only_rise=not spec.has_cells) for run in range(runs)])
        for spec, _ in layout
    ]
    held: list[dict[str, Floats]] = [{} for _ in layout]
    raised = 0
    for start in range(0, int(days * DAY / STEP_SECONDS), CHUNK):
        values = [make(rng, runs, CHUNK, start, mine) for (_, make), mine in zip(layout, held, strict=True)]
        raised += len(_show(bank, np.concatenate(columns), np.concatenate(values), start))
    return Alarms(runs * days / 30.0 * budget, raised)


class Delays(NamedTuple):
    """Readings from the change to the alarm, shape (runs,), of quiet and the CUSUM; how many never came."""

    quiet: Floats
    oracle: Floats
    missed: int


def delays(before: float, after: float, *, runs: int, at: int = 86_400, seed: int = 1) -> Delays:
    """Let the error rate of *runs* models change for good, some time after reading *at*."""
    budget, most = 0.3, 10_000
    rng = np.random.default_rng(seed)
    bank = QuietBank(false_alarms=budget)
    slots = np.array([_add(bank, _ERROR, account=str(run), only_rise=True) for run in range(runs)])
    changes = at + rng.integers(0, 4_096, runs)
    told = np.full(runs, -1)
    kept: list[Floats] = []
    for start in range(0, at + 4_096 + most, CHUNK):
        place = start + np.arange(CHUNK)
        chance = np.where(place >= changes[:, None], after, before)
        values = (rng.random((runs, CHUNK)) < chance).astype(np.float64)
        if start + CHUNK > at:
            kept.append(values)
        for found in _show(bank, slots, values, start):
            run, where = found.slot // 2, start + found.finding.index % CHUNK
            if told[run] < 0 and where >= changes[run]:
                told[run] = where
    tail = np.concatenate(kept, 1)
    skip = changes - at // CHUNK * CHUNK
    level = cusum_level(before, after, 30 * DAY / STEP_SECONDS / (budget * SHARES[Pool.PERFORMANCE]))
    oracle = np.array([_cusum(tail[run, skip[run] :], before, after, level) for run in range(runs)])
    missed = told < 0
    return Delays(np.where(missed, most, told - changes + 1.0), oracle, int(missed.sum()))


def cusum_level(before: float, after: float, run_length: float) -> float:
    """Give the threshold at which a CUSUM of 0 and 1 alarms falsely every *run_length* readings.

    Source: Brook and Evans, 1972, on a grid of 400 states, each step split between its neighbours.
    """
    low, high = 1.0, 25.0
    for _ in range(26):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if _run_length(middle, before, after) > run_length else (middle, high)
    return high


def _run_length(level: float, before: float, after: float) -> float:
    size = 400
    width = level / size
    states = (np.arange(size) + 0.5) * width
    states[0] = 0.0
    system = np.eye(size)
    for step, chance in (
        (np.log(after / before), before),
        (np.log((1 - after) / (1 - before)), 1 - before),
    ):
        to = states + step
        stays = to < level
        grid = np.clip(to / width - 0.5, 0, size - 1)
        floor = np.where(to <= 0, 0, np.floor(grid)).astype(np.intp)
        part = np.where(to <= 0, 0.0, grid - floor)
        rows = np.arange(size)[stays]
        np.add.at(system, (rows, floor[stays]), -chance * (1 - part[stays]))
        np.add.at(system, (rows, np.minimum(floor + 1, size - 1)[stays]), -chance * part[stays])
    return float(np.linalg.solve(system, np.ones(size))[0])


def _cusum(values: Floats, before: float, after: float, level: float) -> float:
    steps = np.where(values > 0, np.log(after / before), np.log((1 - after) / (1 - before)))
    path = np.cumsum(steps)
    above = path - np.minimum(np.minimum.accumulate(path), 0.0) >= level
    return float(above.argmax() + 1 if above.any() else len(values))


def flights(*, skip_days: int = 0) -> list[datetime]:
    """Watch the errors of the demo's flights; give when incidents opened, by the label's time."""
    made: dict[str, tuple[float, int]] = {}
    rows: list[tuple[float, float, float]] = []
    for event in events():
        time = datetime.fromisoformat(event["time"])
        if event["type"] == "prediction":
            made[event["id"]] = time.timestamp(), event["output"]
        else:
            when, output = made[event["prediction_id"]]
            rows.append((when, time.timestamp(), float(output != event["label"])))
    table = np.array(rows)
    table = table[table[:, 1] >= table[0, 1] + skip_days * DAY]
    bank = QuietBank()
    slot = bank.add(only_rise=True, spec=_ERROR)
    found = bank.update(np.full(len(table), slot, np.intp), table[:, 2], table[:, 0])
    return [utc(table[one.finding.index, 1]) for one in found]


def _add(bank: QuietBank, spec: Spec, *, account: str, only_rise: bool) -> int:
    own = Spec(family=spec.family, pool=spec.pool, account=account, season=spec.season, psi=spec.psi)
    return bank.add(only_rise=only_rise, spec=own)


def _show(bank: QuietBank, slots: NDArray[np.intp], values: Floats, start: int) -> list[Found]:
    times = START + STEP_SECONDS * (start + np.arange(values.shape[1]))
    return list(bank.update(np.repeat(slots, values.shape[1]), values.ravel(), np.tile(times, len(slots))))


def main() -> None:
    """Print the table."""
    say = sys.stdout.write
    for name, kind in STATIONARY.items():
        for budget in (0.3, 3.0):
            got = false_alarms(kind, runs=200, days=30.0, budget=budget)
            ratio = got.raised / got.declared
            say(
                f"{name:20} F={budget}: declared {got.declared:.0f}, raised {got.raised}, ratio {ratio:.2f}\n"
            )
    got = model_of_21(runs=20, days=30.0, budget=3.0)
    say(f"21 series F=3: declared {got.declared:.0f}, raised {got.raised}\n")
    for before, after in ((0.05, 0.08), (0.2, 0.3), (0.2, 0.25)):
        late = delays(before, after, runs=200)
        ratios = [np.quantile(late.quiet, q) / np.quantile(late.oracle, q) for q in (0.5, 0.9)]
        say(f"error {before} -> {after}: median {np.median(late.quiet):.0f}, ")
        say(f"over the CUSUM's {ratios[0]:.2f}, 90 % {ratios[1]:.2f}, missed {late.missed}\n")
    for skip_days in range(0, 46, 5):
        when = flights(skip_days=skip_days)
        say(f"flights from day {skip_days}: {len(when)}: {', '.join(f'{time:%d %b}' for time in when)}\n")


if __name__ == "__main__":
    main()
