"""Settings and policies: the only reader of configuration files and of the environment.

A setting is taken from the environment (``DRIFTLINE_NAME``), else from ``driftline.toml``, else its default.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from schemas.policy import DEFAULT_POLICY, Policy

FILE = Path("driftline.toml")
_SECRETS = frozenset({"sasl_password", "http_token"})
MAX_PROCESSES = 256
HASH_SEED = "PYTHONHASHSEED"

Seconds = Annotated[float, msgspec.Meta(gt=0)]
Port = Annotated[int, msgspec.Meta(ge=0, le=65_535)]
Count = Annotated[int, msgspec.Meta(ge=1)]


class ConfigError(Exception):
    """A setting or a policy is wrong: the text says where and what to do."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a worker runs; what it watches is the policies' business."""

    brokers: str = "127.0.0.1:9092"
    prefix: str = "driftline."
    group: str = "driftline"
    partitions: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 16
    replication: Count = 1
    retention_seconds: Annotated[float, msgspec.Meta(ge=-1)] = 7 * 86_400.0
    create_topics: bool = True
    policy_file: str = ""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    sasl_username: str = ""
    sasl_password: str = ""
    sasl_password_file: str = ""
    tls_ca_file: str = ""
    tls_cert_file: str = ""
    tls_key_file: str = ""
    processes: Annotated[int, msgspec.Meta(ge=1, le=MAX_PROCESSES)] = 1
    http_host: str = "127.0.0.1"
    http_port: Port = 6066
    http_token: str = ""
    http_token_file: str = ""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    checkpoint_seconds: Seconds = 5.0
    max_idle_seconds: Seconds = 1.0
    max_poll_records: Count = 10_000
    max_models: Count = 1_000
    batch_bytes: Annotated[int, msgspec.Meta(ge=1_048_576)] = 32 * 1024 * 1024
    metric_models: Count = 100
    metric_versions: Count = 50
    metric_signals: Count = 200
    metric_series: Count = 10_000
    transactions: Literal["auto", "on", "off"] = "auto"
    session_timeout_seconds: Seconds = 10.0
    rebalance_timeout_seconds: Seconds = 10.0
    publish_timeout_seconds: Seconds = 40.0
    broker_binary: str = ""

    def __repr__(self) -> str:
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in self.shown().items())})"

    def shown(self) -> dict[str, Any]:
        """Give the settings by name, with every secret masked."""
        values = msgspec.structs.asdict(self)
        return {name: "***" if name in _SECRETS and value else value for name, value in values.items()}

    def secrets(self) -> list[str]:
        """Give the values that are told to nobody."""
        return [value for name in sorted(_SECRETS) if (value := getattr(self, name))]


DESCRIPTIONS: Mapping[str, str] = {
    "brokers": "Kafka bootstrap servers, host:port, separated by commas",
    "prefix": "what the names of all topics begin with",
    "group": "the consumer group that the workers share",
    "partitions": "partitions of the input topics, when they are created",
    "replication": "replicas of every topic, when it is created",
    "retention_seconds": "how long Kafka keeps input, alerts and rejected messages; -1 keeps them for good",
    "create_topics": "whether a worker creates topics that are missing",
    "policy_file": "TOML file with policies; none watches every model by the default policy",
    "security_protocol": "PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL",
    "sasl_mechanism": "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512",
    "sasl_username": "SASL user",
    "sasl_password": "SASL password; the environment or a file is the better place for it",
    "sasl_password_file": "file whose first line is the SASL password",
    "tls_ca_file": "PEM file with the authorities that sign the brokers' certificates; none: the system's",
    "tls_cert_file": "PEM file with the client's certificate",
    "tls_key_file": "PEM file with the client's key",
    "processes": "worker processes under one supervisor; 1 is a worker without a supervisor",
    "http_host": "address on which /metrics, /healthz and /readyz answer",
    "http_port": "their port; 0 picks a free one",
    "http_token": "bearer token that /metrics asks for; the environment or a file is the better place for it",
    "http_token_file": "file whose first line is that token",
    "log_level": "DEBUG, INFO, WARNING or ERROR",
    "checkpoint_seconds": "at most this long passes between two checkpoints of a partition with news",
    "max_idle_seconds": "how long a topic waits for another one that has more in the log",
    "max_poll_records": "records that one poll takes at most",
    "max_models": "models that one partition watches at most; the one unseen for longest is evicted",
    "batch_bytes": "bytes that a compressed batch of records unfolds to at most; a larger one is rejected",
    "metric_models": "models that metrics show by name, the first ones; the rest is `other`",
    "metric_versions": "versions that metrics show by name, of all models",
    "metric_signals": "signals that metrics show by name, of all models",
    "metric_series": "series that one metric has at most",
    "transactions": "auto, on or off: auto writes in transactions where the broker has them",
    "session_timeout_seconds": "a worker that is not heard of for this long loses its partitions",
    "rebalance_timeout_seconds": "how long a rebalance waits for workers to come back",
    "publish_timeout_seconds": "how long a broker that takes no messages is asked again before a worker ends",
    "broker_binary": "the embedded broker's program; none finds it in the installed package, then on PATH",
}

VARIABLES: Mapping[str, str] = {f"DRIFTLINE_{name.upper()}": text for name, text in DESCRIPTIONS.items()}
"""Every environment variable that is read, with what it sets (and ``DRIFTLINE_CONFIG``, the file's name)."""

_ALIASES = {"DRIFTLINE_BROKER_BIN": "broker_binary"}


def load_settings(environment: Mapping[str, str], file: Path | None = None) -> Settings:
    """Read the settings; raises ConfigError that names the file or variable and the key."""
    path = file or (Path(given) if (given := environment.get("DRIFTLINE_CONFIG")) else None)
    values: dict[str, Any] = {}
    if path is not None or FILE.exists():
        values = _read_toml(path or FILE)
        _convert(values, str(path or FILE))
    for variable, text in environment.items():
        name = _ALIASES.get(variable) or variable.removeprefix("DRIFTLINE_").lower()
        if variable == "DRIFTLINE_CONFIG" or not variable.startswith("DRIFTLINE_"):
            continue
        if name not in DESCRIPTIONS:
            raise ConfigError(f"{variable} is no setting; `driftline config show` lists them all")
        _convert({name: text}, variable, strict=False)
        values[name] = text
    settings = _convert(values, "settings", strict=False)
    for secret in sorted(_SECRETS):
        file_of = f"{secret}_file"
        if (given := getattr(settings, file_of)) and not getattr(settings, secret):
            settings = msgspec.structs.replace(settings, **{secret: _read_secret(file_of, Path(given))})
    if settings.security_protocol.startswith("SASL"):
        if not settings.sasl_username:
            raise ConfigError(f"security_protocol {settings.security_protocol} needs sasl_username")
        if not settings.sasl_password:
            raise ConfigError(
                f"security_protocol {settings.security_protocol} needs a password: set "
                "DRIFTLINE_SASL_PASSWORD_FILE or DRIFTLINE_SASL_PASSWORD"
            )
    return settings


def refuse_known_hashes(environment: Mapping[str, str]) -> None:
    """Raise ConfigError where who sends events could know the hashes of their ids.

    What is known of an id is its hash. With a known seed two ids of one hash can be found, and the event of
    the second one would pass for a duplicate of the first.
    """
    if environment.get(HASH_SEED, "") not in {"", "random"}:
        raise ConfigError(
            f"{HASH_SEED} is set, so that who sends events can know the hashes of ids and let the events of "
            "others pass for duplicates: unset it, or set it to random"
        )


class PolicyBook:
    """The policy of every model: its own where the file has one, else the default."""

    def __init__(self, default: Policy = DEFAULT_POLICY, models: Mapping[str, Policy] | None = None) -> None:
        self.default = default
        self.models = dict(models or {})

    def of(self, model: str) -> Policy:
        """Give the policy of *model*."""
        return self.models.get(model, self.default)


class _PolicyFile(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    default: dict[str, Any] = msgspec.field(default_factory=dict)
    models: dict[str, dict[str, Any]] = msgspec.field(default_factory=dict)


def load_policies(file: str | Path) -> PolicyBook:
    """Read a policy file; a model's table overrides the default one key by key.

    Raises ConfigError that names the file and the key.
    """
    if not str(file):
        return PolicyBook()
    path = Path(file)
    try:
        content = msgspec.convert(_read_toml(path), _PolicyFile)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {error}") from error
    default = _policy(content.default, f"{path}: [default]")
    models = {
        name: _policy(_merged(content.default, table), f'{path}: [models."{name}"]')
        for name, table in content.models.items()
    }
    return PolicyBook(default, models)


def _policy(table: Mapping[str, Any], where: str) -> Policy:
    try:
        return msgspec.convert(table, Policy)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {error}") from error


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _convert(values: Mapping[str, Any], where: str, *, strict: bool = True) -> Settings:
    try:
        return msgspec.convert(values, Settings, strict=strict)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {error}") from error


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error


def _read_secret(name: str, path: Path) -> str:
    try:
        secret = path.read_text().splitlines()[0]
    except (OSError, IndexError, UnicodeDecodeError) as error:
        raise ConfigError(f"{name} {path} cannot be read: {type(error).__name__}") from None
    if not secret:
        raise ConfigError(f"{name} {path} has nothing in its first line")
    return secret
