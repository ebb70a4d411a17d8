"""The worker's HTTP endpoints: /metrics for Prometheus, /healthz for restarts, /readyz for traffic."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder

from stream.shell import clock
from stream.shell.worker import Worker

STALLED_SECONDS = 30.0
"""A worker whose timer has not run for this long is not healthy."""


class EndpointError(Exception):
    """The endpoints cannot be served: the text says why."""


@dataclass(slots=True)
class Endpoints:
    """Serves a worker's endpoints on one address."""

    worker: Worker
    registry: CollectorRegistry
    host: str
    port: int
    _runner: web.AppRunner | None = None

    async def start(self) -> str:
        """Begin to answer; give the address. Raises EndpointError where it is taken."""
        app = web.Application()
        app.add_routes(
            [
                web.get("/metrics", self._metrics),
                web.get("/healthz", self._healthz),
                web.get("/readyz", self._readyz),
            ]
        )
        runner = self._runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, self.host, self.port).start()
        except OSError as error:
            await runner.cleanup()
            raise EndpointError(
                f"cannot listen on {self.host}:{self.port}: {error.strerror or error}; "
                "set DRIFTLINE_HTTP_PORT to a free port, or to 0"
            ) from error
        port = runner.addresses[0][1]
        return f"http://{self.host}:{port}"

    async def stop(self) -> None:
        """Answer no more."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _metrics(self, request: web.Request) -> web.Response:
        self.worker.collect()
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(self.registry), headers={"Content-Type": content_type})

    async def _healthz(self, _request: web.Request) -> web.Response:
        silent = clock.steady() - self.worker.last_tick
        if silent < STALLED_SECONDS:
            return web.Response(text="ok\n")
        return web.Response(status=503, text=f"stalled: the timer has not run for {silent:.0f} s\n")

    async def _readyz(self, _request: web.Request) -> web.Response:
        if self.worker.is_ready:
            return web.Response(text="ready\n")
        return web.Response(status=503, text="not ready: partitions are being assigned or restored\n")


def new_registry() -> CollectorRegistry:
    """Make a registry that knows of the process already: its memory, CPU, files and garbage collection."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry
