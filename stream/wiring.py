"""Settings to running parts: the only place that picks implementations."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from schemas.policy import Policy
from stream import __version__
from stream.config import ConfigError, PolicyBook, Settings, load_policies
from stream.core.pipeline import Pipeline
from stream.detectors.registry import DETECTORS, QUIET, Registry
from stream.shell.connection import Connection
from stream.shell.frames import read_in_place
from stream.shell.http import Endpoints, Served
from stream.shell.metrics import Metrics
from stream.shell.status import WorkerStatus, new_registry
from stream.shell.supervisor import Supervisor
from stream.shell.topics import Topics
from stream.shell.unfolding import unfold_at_most
from stream.shell.worker import Worker, WorkerOptions

SESSIONS_UNTIL_STALLED = 6
"""A worker that hears nothing of the broker gives up after so many session timeouts."""


def build_connection(settings: Settings) -> Connection:
    """Make the connection that the settings describe."""
    return Connection(
        bootstrap=settings.brokers,
        security_protocol=settings.security_protocol,
        sasl_mechanism=settings.sasl_mechanism,
        sasl_username=settings.sasl_username,
        sasl_password=settings.sasl_password,
        tls_ca_file=settings.tls_ca_file,
        tls_cert_file=settings.tls_cert_file,
        tls_key_file=settings.tls_key_file,
    )


def build_topics(settings: Settings) -> Topics:
    """Make the topics that the settings describe."""
    return Topics(
        prefix=settings.prefix,
        partitions=settings.partitions,
        replication=settings.replication,
        retention_seconds=settings.retention_seconds,
    )


def build_policies(settings: Settings) -> PolicyBook:
    """Read the policies; raises ConfigError that names the file and the key."""
    book = load_policies(settings.policy_file)
    _check_detectors(book.default, f"{settings.policy_file}: [default]")
    for name, policy in book.models.items():
        _check_detectors(policy, f'{settings.policy_file}: [models."{name}"]')
    return book


def build_pipeline(settings: Settings, partition: int) -> Pipeline:
    """Make the pipeline that a worker has for *partition*, without its state."""
    return Pipeline(
        partition,
        prefix=settings.prefix,
        policies=build_policies(settings),
        factory=Registry(),
        partition_of=build_topics(settings).partition_of,
        max_models=settings.max_models,
    )


def build_replay_pipeline(settings: Settings) -> Pipeline:
    """Make the pipeline of a replay: one partition that has all models."""
    return Pipeline(
        0,
        prefix=settings.prefix,
        policies=build_policies(settings),
        factory=Registry(),
        partition_of=lambda _model: 0,
        max_models=settings.max_models,
    )


def build_worker(settings: Settings) -> tuple[Worker, WorkerStatus]:
    """Make a worker, not started, and what speaks for it."""
    connection, topics = build_connection(settings), build_topics(settings)
    policies = build_policies(settings)
    factory = Registry()
    registry = new_registry()
    metrics = Metrics(registry, version=__version__, **_metric_bounds(settings))
    unfold_at_most(settings.batch_bytes)
    read_in_place()

    def make_pipeline(partition: int) -> Pipeline:
        return Pipeline(
            partition,
            prefix=settings.prefix,
            policies=policies,
            factory=factory,
            partition_of=topics.partition_of,
            max_models=settings.max_models,
        )

    options = WorkerOptions(
        group=settings.group,
        checkpoint_seconds=settings.checkpoint_seconds,
        max_idle_seconds=settings.max_idle_seconds,
        max_poll_records=settings.max_poll_records,
        transactions=settings.transactions,
        session_timeout_seconds=settings.session_timeout_seconds,
        rebalance_timeout_seconds=settings.rebalance_timeout_seconds,
        publish_timeout_seconds=settings.publish_timeout_seconds,
        stall_seconds=(
            SESSIONS_UNTIL_STALLED * settings.session_timeout_seconds + settings.rebalance_timeout_seconds
        ),
    )
    worker = Worker(connection, topics, options, metrics, make_pipeline)
    return worker, WorkerStatus(worker, registry)


def build_supervisor(
    settings: Settings, command: Callable[[int, int], Sequence[str]], stop_seconds: float
) -> Supervisor:
    """Make the supervisor of as many processes as the settings say; they are started by *command*."""
    registry = new_registry()
    metrics = Metrics(registry, version=__version__, **_metric_bounds(settings))
    return Supervisor(settings.processes, command, metrics, registry, stop_seconds)


def build_endpoints(settings: Settings, served: Served) -> Endpoints:
    """Make the endpoints of a worker or a supervisor, not started."""
    return Endpoints(served, settings.http_host, settings.http_port, settings.http_token)


def _metric_bounds(settings: Settings) -> dict[str, int]:
    return {
        "max_models": settings.metric_models,
        "max_versions": settings.metric_versions,
        "max_signals": settings.metric_signals,
        "max_series": settings.metric_series,
    }


def _check_detectors(policy: Policy, where: str) -> None:
    use = policy.detectors.use
    unknown = [name for name in use if name not in {QUIET, *DETECTORS}]
    if unknown or not use:
        known = ", ".join((QUIET, *sorted(DETECTORS)))
        raise ConfigError(f"{where}: detectors.use: {unknown or 'none'} is not among {known}")
    if QUIET in use and len(use) > 1:
        raise ConfigError(
            f'{where}: detectors.use: "{QUIET}" watches alone: use = ["{QUIET}"], or the others without it'
        )
    if len(set(use)) < len(use):
        raise ConfigError(f"{where}: detectors.use: {list(use)} names a detector twice")
