"""Quiet, one series at a time and in plain Python: what the bank computes by arrays, to compare it with.

It keeps every block's sum, so that a window is a difference of two prefix sums wherever it begins: no ring,
no binary counter and no vector. Season is left out: it knows rates, losses and cells of readings in bins.
"""

from __future__ import annotations

import math
from copy import deepcopy
from dataclasses import dataclass, field

import numpy as np

from stream.detectors.quiet import cells as cell_test
from stream.detectors.quiet import rates as rate_test
from stream.detectors.quiet.tails import fisher_tail, student_tail

DAY = 86_400.0
Row = list[float]
Past = tuple[float, Row]


@dataclass
class Alarm:
    """Where an alarm was raised: the block's number, the window's readings, the statistic."""

    block: int
    n: int
    statistic: float


@dataclass
class Normal:
    """A baseline with the number of the last block that joined it, and the noise: what tests compare with."""

    n: float
    total: Row
    joined: int
    rung: list[Row]

    def without(self, since: int, prefix: list[Row]) -> None:
        """Take out what joined since block *since*."""
        if self.joined > since:
            self.n -= 32 * (self.joined - since)
            shared = [a - b for a, b in zip(prefix[self.joined], prefix[since], strict=True)]
            self.total = [a - b for a, b in zip(self.total, shared, strict=True)]


@dataclass
class Series:
    """One series; ``cells`` 0 is a rate (``loss`` for values between), else the number of its cells."""

    share: float
    false_alarms: float = 0.3
    cells: int = 0
    loss: bool = False
    both: bool = False
    psi: float = 0.10

    alarms: list[Alarm] = field(default_factory=list)
    taken: int = 0
    seen: float = 0.0
    began: float = 0.0
    latest: float = 0.0
    lately: float = 0.0
    lately_seconds: float = 0.0
    scale_of_incident: int = -1
    calm: int = 0

    def __post_init__(self) -> None:
        self.width = self.cells or 1
        self.live = Normal(0.0, [0.0] * self.width, 0, [[0.0, 0.0, 0.0] for _ in range(10)])
        self.coming = self.settled = self.live
        self.turn = 0.0
        self.told, self.told_at, self.told_share = 0.0, 0, [0.0] * self.width
        self.held = [[0.0, 0.0, 0.0] for _ in range(10)]
        self.v = [1.0] * 10
        self.known = [0.0] * 10
        self.rows: list[list[Row]] = [[] for _ in range(10)]
        self.prefix: list[Row] = [[0.0] * self.width]
        self.restart()

    def restart(self) -> None:
        self.healed = len(self.prefix) - 1
        self.scale_of_incident, self.calm = -1, 0

    def block(self, total: Row, first: float, last: float) -> None:
        """Take a block of 32 readings with this sum (by cell), from *first* to *last*, in seconds."""
        self._clock(first, last)
        self.prefix.append([a + b for a, b in zip(self.prefix[-1], total, strict=True)])
        self.taken += 1
        c, age = len(self.prefix) - 1, self.latest - self.began
        complete = self.live.n >= 10_000 and age >= 56 * DAY
        growing = self.scale_of_incident < 0 and not complete
        if growing:
            self.live.n += 32
            self.live.total = [a + b for a, b in zip(self.live.total, total, strict=True)]
            self.live.joined = c
        watched = self.seen >= 2_000 and (age >= 3 * DAY or self.seen >= 20_000)
        for j in range(10):
            if c % (1 << j) == 0:
                whole = c - (1 << j) >= self.healed
                self._noise(j, self._run(1 << j), growing=growing and whole, watched=watched)
        was_open = self.scale_of_incident >= 0
        is_over = was_open and self._is_over(c)
        if watched and self.turn and not is_over:
            self._look(c)
        if is_over:
            self._restart(c)
        if self.scale_of_incident >= 0 and c == -(-self.told_at // 4) * 4 + 16:
            self._catch_up(self._run(16))
        if watched and self.scale_of_incident < 0 and self.latest >= self.turn:
            self._turn()

    def _turn(self) -> None:
        """Let what came next settle, and what joined until now come next."""
        self.settled = self.coming if self.turn else deepcopy(self.live)
        self.coming = deepcopy(self.live)
        self._work_out()

    def _work_out(self) -> None:
        before = below = 1.0
        for j in range(10):
            m, q, _ = self.settled.rung[j]
            k, foretold = _prior(below), below
            if j and not self.cells:
                foretold += 0.5 * max(below - before, 0.0) if j > 1 else 0.0
                k = max(k, 0.5 * self.known[j - 1])
                if q - m * foretold > 1.645 * foretold * math.sqrt(2 * m):
                    k = 10.0
            self.known[j] = k + m
            least = (self.v[0] if j else 1e-3) if self.loss else 1.0
            before, below = below, max((k * foretold + q) / (k + m), least)
            self.v[j] = below
        longest = max(7 * DAY, 2_500 * self.lately_seconds / self.lately)
        self.turn = self.latest + max(min(0.25 * (self.latest - self.began), longest), 1.0)

    def _clock(self, first: float, last: float) -> None:
        if self.seen == 0:
            self.began = self.latest = first
        passed = max(last - self.latest, 0.0)
        fade = 30 * DAY / (30 * DAY + passed)
        self.latest += passed
        self.seen += 32
        self.lately = self.lately * fade + 32
        self.lately_seconds = self.lately_seconds * fade + passed

    def _run(self, blocks: int) -> Row:
        return [a - b for a, b in zip(self.prefix[-1], self.prefix[-1 - blocks], strict=True)]

    def _spread(self, rate: float) -> float:
        return max(rate, 1e-12) if self.cells else min(max(rate * (1 - rate), 1e-6), 0.25)

    def _noise(self, j: int, run: Row, *, growing: bool, watched: bool) -> None:
        size, free = 32.0 * (1 << j), max(self.cells - 1, 1)
        rest = self.live.n - size
        if growing:
            if rest < max(size, 256):
                return
            q = 0.0
            for x, s in zip(run, self.live.total, strict=True):
                q += (x / size - (s - x) / rest) ** 2 / self._spread(s / self.live.n)
            self._count(j, 1.0, q / ((1 / size + 1 / rest) * free))
        elif watched:
            self.rows[j].append([x / size for x in run])
            if len(self.rows[j]) < 8:
                return
            q = 0.0
            for k in range(self.width):
                column = [row[k] for row in self.rows[j]]
                mean = sum(column) / 8
                spread = self._spread(self.live.total[k] / self.live.n)
                q += sum((x - mean) ** 2 for x in column) * size / spread
            self.rows[j] = []
            self._count(j, 7.0, q / (7 * free))

    def _count(self, j: int, weight: float, q: float) -> None:
        n, sum_q, _ = self.live.rung[j]
        if n >= 8:
            q = min(q, 12 * max(1.0, sum_q / n))
        free = max(self.cells - 1, 1)
        qq = q * q * (1 + 2 / free) / (1 + 2 / (weight * free))
        where = self.live.rung[j] if self.scale_of_incident < 0 else self.held[j]
        for place, news in enumerate((1.0, q, qq)):
            where[place] += weight * news

    def _past(self, since: int) -> Past:
        """Give the settled baseline without the blocks of a window that joined it."""
        past = Normal(self.settled.n, self.settled.total, self.settled.joined, [])
        past.without(since, self.prefix)
        return past.n, past.total

    def _look(self, c: int) -> None:
        events = self.lately * 30 * DAY / max(self.lately_seconds, 1.0)
        budget = self.false_alarms * self.share / events
        best: tuple[float, Alarm, int, int, float, Row] | None = None
        for scale, since in self._starts(c):
            if self.scale_of_incident >= 0 and since < -(-self.told_at // 4) * 4 + 16:
                continue
            window = self._run(c - since)
            n = 32.0 * (c - since)
            past_n, past = self._past(since)
            if past_n < max(n, 256):
                continue
            rung = 1 if c - since < 4 else scale + 2
            test = self._cells_differ if self.cells else self._rate_differs
            if not self.cells:
                rung, v = self._between(n, rung)
            else:
                v = self.v[rung]
            found = test(window, n, (past_n, past), (scale, rung, v), budget)
            if found is not None and (best is None or found[0] < best[0]):
                share = [x / n for x in window]
                best = found[0], Alarm(self.taken, int(n), found[1]), scale, since, found[2], share
        if best is None:
            return
        _, alarm, scale, since, self.told, self.told_share = best
        self.alarms.append(alarm)
        self.told_at = c
        if self.scale_of_incident < 0:
            for normal in (self.live, self.coming, self.settled):
                normal.without(since, self.prefix)
                normal.joined = -1
            self.scale_of_incident, self.calm = max(scale, 1), 0
            self.held = [[0.0, 0.0, 0.0] for _ in range(10)]

    def _starts(self, c: int) -> list[tuple[int, int]]:
        starts: list[tuple[int, int]] = []
        for scale in range(8):
            backs = (4,) if self.cells else (2, 3, 4, 5, 6, 7) if scale == 0 else (4, 5, 6, 7)
            if self.cells and c % (1 << scale):
                continue
            starts += [(scale, ((c >> scale) - back) << scale) for back in backs]
        return [(scale, since) for scale, since in starts if since >= self.healed]

    def _between(self, n: float, rung: int) -> tuple[int, float]:
        """Give the nearest rung, and the noise of n readings: sums' variances lie on a line between rungs."""
        size, above = 32.0 * (1 << rung), min(rung + 1, 9)
        low, high = size * self.v[rung], 2 * size * self.v[above]
        v = (low + (high - low) * (n - size) / size) / n
        return (above if n > 4 * size / 3 else rung), v

    def _spendable(self, budget: float) -> float:
        """Give the part of the budget that scales can spend at which noise may reach the least effect."""
        rate, spent = self.settled.total[0] / self.settled.n, 0.0
        least = max(0.10 * rate, 0.005)
        for scale in range(8):
            n = 176.0 * (1 << scale)
            share = float(rate_test.WEIGHTS[scale])
            v = self.v[scale + 2]
            sure = least * least / (self._spread(rate) * v * (1 / n + 1 / self.settled.n))
            double = -2 * math.log(min(0.02, budget * n * share * rate_test.OVERLAP))
            z2 = double - 1.8 - math.log(max(double - 4, 1))
            spent += share * math.exp(0.5 * min(z2 - sure, 0.0))
        return max(spent, 1 / 3)

    def _rate_differs(
        self, window: Row, n: float, without: Past, at: tuple[int, int, float], budget: float
    ) -> tuple[float, float, float] | None:
        (past_n, past), (scale, rung, v) = without, at
        rate, normal = window[0] / n, past[0] / past_n
        known, told = normal, 0.0
        if self.scale_of_incident >= 0:
            known, told = min(max(normal + self.told, 0.0), 1.0), self.told
        least = max(0.10 * normal, 0.005)
        effect = abs(rate - normal) if self.both else rate - normal
        base = self.settled.total[0] / self.settled.n
        enough = 64.0 if self.loss else min(64.0, 3.0 / max(base * (1 - base), 1e-3))
        if effect < least or n < enough * v / (self.v[0] if self.loss else 1.0):
            return None
        if told and (rate - normal) * math.copysign(1.0, told) < 2 * abs(told):
            return None
        continuity = 0.0 if self.loss else 0.5 * v
        root = rate_test.root_deviance(
            rate, known, n, past_n, margin=rate_test.MARGIN * least, continuity=continuity
        )
        statistic = rate_test.without_clumps(root / math.sqrt(v), rate, known, n, v)
        df = 1 / (1 / self.known[rung] + 1 / self._tail_df(rung))
        share = float(rate_test.WEIGHTS[scale]) / self._spendable(budget)
        alpha = min(0.02, budget * n * share * rate_test.OVERLAP) * (0.5 if self.both else 1.0)
        statistic = max(statistic, 0.0)
        alpha *= rate_test.fewer_looks(statistic, df)
        tail = student_tail(statistic, df)
        return (tail / alpha, statistic, rate - normal) if tail < alpha else None

    def _cells_differ(
        self, window: Row, n: float, without: Past, at: tuple[int, int, float], budget: float
    ) -> tuple[float, float, float] | None:
        (past_n, past), (scale, rung, v) = without, at
        free = self.cells - 1
        is_open = self.scale_of_incident >= 0
        known = [float(np.float32(share)) * past_n for share in self.told_share] if is_open else past
        q = 0.0
        for a, b in zip(window, known, strict=True):
            q += (a / n - b / past_n) ** 2 / max((a + b) / (n + past_n), 1e-12)
        q /= free * (1 / n + 1 / past_n)
        if q * free < 8 or n < 64 * v or n * min(past) / past_n < 10:
            return None
        psi = cell_test.stability_index(np.array(window), n, np.array(past), past_n, v)
        if psi < max(self.psi, 4 * self.told if is_open else 0.0):
            return None
        nu = self._directions(rung)
        q = cell_test.divergence((np.array(window), n), (np.array(known), past_n)) / (free * v)
        alpha = min(0.02, budget * 0.25 * n * self._share_of(scale) / self._spent_by_cells(budget))
        tail = fisher_tail(q, nu, nu * self.known[rung])
        return (tail / alpha, q, psi) if tail < alpha else None

    def _share_of(self, scale: int) -> float:
        return cell_test.OVERLAP * float(rate_test.WEIGHTS[scale])

    def _directions(self, rung: int) -> float:
        free = self.cells - 1
        runs, kurtosis = self._kurtosis(rung)
        chance = 2 / free
        if self.v[rung] - 1 < 1.645 * math.sqrt(2 / (free * runs)):
            chance *= 1 + math.sqrt((2 + 12 / free) / runs)
        sure = kurtosis - 1 - chance
        uneven = 0.5 * free * max(0.0, sure * runs / (runs + 10))
        return free / min(1 + math.sqrt((free - 1) * uneven), free)

    def _spent_by_cells(self, budget: float) -> float:
        """Give the part of the budget that scales can spend at which noise may reach the least index."""
        spent, past_n, free = 0.0, self.settled.n, self.cells - 1
        for scale in range(8):
            n, v, nu = 128.0 * (1 << scale), self.v[scale + 2], self._directions(scale + 2)
            if past_n >= n >= 64 * v and n * min(self.settled.total) >= 10 * past_n:
                least = 1 + self.psi / (free * v * (1 / n + 1 / past_n))
                alpha = min(0.02, budget * 0.25 * n * self._share_of(scale))
                part = fisher_tail(least, nu, nu * self.known[scale + 2]) / alpha
                spent += float(rate_test.WEIGHTS[scale]) * min(part, 1.0)
        return max(spent, 1 / 3)

    def _kurtosis(self, rung: int) -> tuple[float, float]:
        while rung > 0 and self.settled.rung[rung][0] < 16:
            rung -= 1
        near = self.settled.rung[max(rung - 2, 0) : rung + 1]
        runs = sum(n for n, _, _ in near)
        return runs, sum(n * n * qq / max(q, 1e-9) ** 2 for n, q, qq in near) / max(runs, 1.0)

    def _tail_df(self, rung: int) -> float:
        runs, kurtosis = self._kurtosis(rung)
        kurtosis -= 0.0 if self.loss else self._binomial(rung)
        excess = (kurtosis - 3) * runs / (runs + 10) - math.sqrt(96 / max(runs, 1.0))
        return math.inf if excess <= 0 else 4 + 6 / excess

    def _binomial(self, rung: int) -> float:
        """Give how much of the kurtosis is that of 0 and 1: the mean over the runs that tell of the tails."""
        while rung > 0 and self.settled.rung[rung][0] < 16:
            rung -= 1
        rate = self.settled.total[0] / self.settled.n
        spread = max(rate * (1 - rate), 1e-6)
        part = runs = 0.0
        for j in range(max(rung - 2, 0), rung + 1):
            runs += self.settled.rung[j][0]
            part += self.settled.rung[j][0] * max(1 - 6 * spread, 0.0) / (32 * 2**j * spread)
        return part / max(runs, 1.0)

    def _is_over(self, c: int) -> bool:
        scale = self.scale_of_incident
        if c % (1 << scale) or c >> scale < 4:
            return False
        window, n = self._run(4 << scale), 128.0 * (1 << scale)
        if self.cells:
            v = self.v[min(scale + 2, 9)]
            base = np.array(self.settled.total)
            calm = cell_test.stability_index(np.array(window), n, base, self.settled.n, v) < 0.5 * self.psi
        else:
            rate, normal = window[0] / n, self.settled.total[0] / self.settled.n
            effect = abs(rate - normal) if self.both else rate - normal
            root = rate_test.root_deviance(
                rate, normal, n, self.settled.n, margin=0.0, continuity=0.0 if self.loss else 0.5
            )
            calm = effect < 0.5 * max(0.1 * normal, 0.005) or root < math.sqrt(self.v[min(scale + 2, 9)])
        self.calm = self.calm + 1 if calm else 0
        return self.calm >= 4

    def _catch_up(self, window: Row) -> None:
        """Take what came since a change was told for what is known of it, where that is more."""
        base, n = self.settled.total, self.settled.n
        if self.cells:
            seen = cell_test.stability_index(np.array(window), 512.0, np.array(base), n, self.v[4])
            if seen > self.told:
                self.told, self.told_share = seen, [x / 512 for x in window]
            return
        seen = window[0] / 512 - base[0] / n
        if seen * math.copysign(1.0, self.told) > abs(self.told):
            self.told = seen

    def _restart(self, c: int) -> None:
        for j in range(10):
            self.live.rung[j] = [a + b for a, b in zip(self.live.rung[j], self.held[j], strict=True)]
        self.restart()
        assert self.healed == c
        self.coming = self.settled = deepcopy(self.live)
        self._work_out()


def _prior(below: float) -> float:
    return 50.0 if below < 1.25 else 10.0
