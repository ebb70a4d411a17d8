"""The HTTP endpoints: /metrics for Prometheus, /healthz for restarts, /readyz for traffic.

With a token set /metrics answers only those who bring it: metrics name models. The other two stay open, for
probes have no token, and say no more than what the worker waits for.
"""

from __future__ import annotations

import hmac
import ipaddress
import logging
from dataclasses import dataclass, field
from typing import Protocol

from aiohttp import web
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

logger = logging.getLogger(__name__)


class EndpointError(Exception):
    """The endpoints cannot be served: the text says why."""


class Served(Protocol):
    """Whom the endpoints speak of: a worker, or a supervisor of several."""

    def unhealthy(self) -> str:
        """Say why it is better started anew; empty where it is well."""

    def unready(self) -> str:
        """Say what it still waits for; empty where it is ready."""

    async def collected(self) -> Collector:
        """Give the metrics as they are now."""


@dataclass(slots=True)
class Endpoints:
    """Serves the endpoints on one address."""

    served: Served
    host: str
    port: int
    token: str = field(default="", repr=False)
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
        if not self.token and not _is_loopback(self.host):
            logger.warning(
                "whoever reaches %s reads the metrics: set DRIFTLINE_HTTP_TOKEN_FILE to ask for a token",
                self.host,
            )
        port = runner.addresses[0][1]
        return f"http://{self.host}:{port}"

    async def stop(self) -> None:
        """Answer no more."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _metrics(self, request: web.Request) -> web.Response:
        if not self._is_known(request.headers.get("Authorization", "")):
            asked = {"WWW-Authenticate": 'Bearer realm="driftline"'}
            return web.Response(status=401, text="a bearer token is needed\n", headers=asked)
        collected = await self.served.collected()
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(collected), headers={"Content-Type": content_type})

    def _is_known(self, authorization: str) -> bool:
        """Tell whether the header has the token; a wrong one takes as long, however much of it is right."""
        scheme, _, given = authorization.partition(" ")
        is_right = hmac.compare_digest(given.encode(errors="surrogateescape"), self.token.encode())
        return not self.token or (scheme.lower() == "bearer" and is_right)

    async def _healthz(self, _request: web.Request) -> web.Response:
        if reason := self.served.unhealthy():
            return web.Response(status=503, text=f"{reason}\n")
        return web.Response(text="ok\n")

    async def _readyz(self, _request: web.Request) -> web.Response:
        if reason := self.served.unready():
            return web.Response(status=503, text=f"not ready: {reason}\n")
        return web.Response(text="ready\n")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
