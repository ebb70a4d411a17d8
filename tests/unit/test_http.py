"""Who may read the metrics, and who may ask how the worker is."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Gauge

from stream.shell.http import Endpoints

TOKEN = "tOkEn-hunter5"  # noqa: S105 - made up


@dataclass
class Well:
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def unhealthy(self) -> str:
        return ""

    def unready(self) -> str:
        return ""

    async def collected(self) -> CollectorRegistry:
        return self.registry


@pytest.fixture
async def guarded() -> AsyncIterator[str]:
    well = Well()
    Gauge("reading", "a reading", registry=well.registry).set(7)
    endpoints = Endpoints(well, "127.0.0.1", 0, TOKEN)
    yield await endpoints.start()
    await endpoints.stop()


async def ask(address: str, authorization: str | None = None) -> tuple[int, str, str]:
    headers = {} if authorization is None else {"Authorization": authorization}
    async with aiohttp.ClientSession() as session, session.get(address, headers=headers) as answer:
        return answer.status, await answer.text(), answer.headers.get("WWW-Authenticate", "")


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        f"Basic {TOKEN}",
        TOKEN,
        "Bearer ä",
    ],
)
async def test_who_does_not_bring_the_token_gets_no_metrics(guarded: str, authorization: str | None) -> None:
    status, text, asked = await ask(f"{guarded}/metrics", authorization)
    assert (status, asked) == (401, 'Bearer realm="driftline"')
    assert "reading" not in text
    assert TOKEN not in text


@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
async def test_who_brings_the_token_gets_the_metrics(guarded: str, scheme: str) -> None:
    status, text, _ = await ask(f"{guarded}/metrics", f"{scheme} {TOKEN}")
    assert status == 200
    assert "reading 7.0" in text


@pytest.mark.parametrize("probe", ["healthz", "readyz"])
async def test_probes_need_no_token(guarded: str, probe: str) -> None:
    assert (await ask(f"{guarded}/{probe}"))[0] == 200


async def test_without_a_token_the_metrics_are_open() -> None:
    endpoints = Endpoints(Well(), "127.0.0.1", 0)
    try:
        assert (await ask(f"{await endpoints.start()}/metrics"))[0] == 200
    finally:
        await endpoints.stop()


def test_a_token_is_not_shown() -> None:
    assert TOKEN not in repr(Endpoints(Well(), "127.0.0.1", 0, TOKEN))


@pytest.mark.parametrize(
    ("host", "token", "warns"),
    [("0.0.0.0", "", True), ("0.0.0.0", TOKEN, False), ("127.0.0.1", "", False), ("localhost", "", False)],  # noqa: S104 - that is the case
)
async def test_metrics_that_anybody_can_read_are_warned_of(
    caplog: pytest.LogCaptureFixture, host: str, token: str, *, warns: bool
) -> None:
    endpoints = Endpoints(Well(), host, 0, token)
    with caplog.at_level(logging.WARNING):
        await endpoints.start()
    await endpoints.stop()
    assert ("DRIFTLINE_HTTP_TOKEN_FILE" in caplog.text) == warns
