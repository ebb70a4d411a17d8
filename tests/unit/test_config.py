"""Settings come from the environment, then the file, then the defaults; what is wrong is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.alerts import Severity
from schemas.policy import DEFAULT_POLICY, Policy, Task
from stream.config import (
    DESCRIPTIONS,
    VARIABLES,
    ConfigError,
    PolicyBook,
    Settings,
    load_policies,
    load_settings,
)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(name: str, text: str) -> Path:
    path = Path(name)
    path.write_text(text)
    return path


# Where a setting comes from


def test_without_file_and_environment_the_defaults_hold() -> None:
    assert load_settings({}) == Settings()


def test_a_file_overrides_the_defaults() -> None:
    write("driftline.toml", 'prefix = "t."\npartitions = 4\ncheckpoint_seconds = 2\n')
    settings = load_settings({})
    assert (settings.prefix, settings.partitions, settings.checkpoint_seconds) == ("t.", 4, 2.0)


def test_the_environment_overrides_the_file() -> None:
    write("driftline.toml", 'prefix = "file."\ngroup = "file"\n')
    settings = load_settings({"DRIFTLINE_PREFIX": "env.", "PATH": "/bin"})
    assert (settings.prefix, settings.group) == ("env.", "file")


def test_text_of_the_environment_becomes_what_the_setting_is() -> None:
    settings = load_settings({"DRIFTLINE_CREATE_TOPICS": "false", "DRIFTLINE_HTTP_PORT": "0"})
    assert settings.create_topics is False
    assert settings.http_port == 0


def test_a_password_of_digits_is_text() -> None:
    assert load_settings({"DRIFTLINE_SASL_PASSWORD": "007"}).sasl_password == "007"  # noqa: S105 - made up


def test_the_file_that_is_named_is_read_instead() -> None:
    write("driftline.toml", 'group = "here"')
    other = write("other.toml", 'group = "other"')
    assert load_settings({}, other).group == "other"
    assert load_settings({"DRIFTLINE_CONFIG": "other.toml"}).group == "other"


def test_the_file_given_wins_over_the_one_of_the_environment() -> None:
    given = write("given.toml", 'group = "given"')
    assert load_settings({"DRIFTLINE_CONFIG": "missing.toml"}, given).group == "given"


def test_the_broker_binary_has_a_short_name_too() -> None:
    assert load_settings({"DRIFTLINE_BROKER_BIN": "/opt/tansu"}).broker_binary == "/opt/tansu"


# What is wrong is named


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"DRIFTLINE_PARTITIONS": "many"}, r"^DRIFTLINE_PARTITIONS: .*int.*partitions"),
        ({"DRIFTLINE_PARTITIONS": "0"}, r"^DRIFTLINE_PARTITIONS: .*>= 1.*partitions"),
        ({"DRIFTLINE_CHECKPOINT_SECONDS": "nan"}, r"^DRIFTLINE_CHECKPOINT_SECONDS: "),
        ({"DRIFTLINE_LOG_LEVEL": "LOUD"}, r"^DRIFTLINE_LOG_LEVEL: "),
        ({"DRIFTLINE_GROPU": "x"}, r"^DRIFTLINE_GROPU is no setting"),
        ({"DRIFTLINE_SECURITY_PROTOCOL": "SASL_SSL"}, r"SASL_SSL needs sasl_username"),
        ({"DRIFTLINE_CONFIG": "nowhere.toml"}, r"^nowhere.toml does not exist"),
    ],
)
def test_a_wrong_variable_is_named(environment: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load_settings(environment)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("partitions = '4'", r"^driftline.toml: .*int.*partitions"),
        ("gropu = 'x'", r"^driftline.toml: .*gropu"),
        ("partitions = ", r"^driftline.toml: "),
        ("\udcff", r"^driftline.toml: "),
    ],
)
def test_a_wrong_file_is_named_with_its_key(text: str, says: str) -> None:
    Path("driftline.toml").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ConfigError, match=says):
        load_settings({})


def test_a_directory_is_no_file() -> None:
    Path("folder").mkdir()
    with pytest.raises(ConfigError, match=r"^folder: "):
        load_settings({}, Path("folder"))


# Secrets


def test_a_password_is_shown_nowhere() -> None:
    settings = load_settings({"DRIFTLINE_SASL_PASSWORD": "hunter2"})
    assert settings.shown()["sasl_password"] == "***"  # noqa: S105 - the mask
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in str(settings)


def test_a_password_that_is_not_set_is_shown_as_not_set() -> None:
    assert not Settings().shown()["sasl_password"]


def test_a_password_is_the_first_line_of_its_file() -> None:
    write("secret", "hunter2\nanything\n")
    settings = load_settings({"DRIFTLINE_SASL_PASSWORD_FILE": "secret"})
    assert settings.sasl_password == "hunter2"  # noqa: S105 - made up


def test_a_password_that_is_set_wins_over_its_file() -> None:
    environment = {"DRIFTLINE_SASL_PASSWORD_FILE": "missing", "DRIFTLINE_SASL_PASSWORD": "given"}
    assert load_settings(environment).sasl_password == "given"  # noqa: S105 - made up


@pytest.mark.parametrize("secret", ["sasl_password", "http_token"])
def test_every_secret_comes_from_a_file_as_well_and_is_masked(secret: str) -> None:
    write("secret", "hunter2\n")
    settings = load_settings({f"DRIFTLINE_{secret.upper()}_FILE": "secret"})
    assert getattr(settings, secret) == "hunter2"
    assert settings.secrets() == ["hunter2"]
    assert settings.shown()[secret] == "***"
    assert "hunter2" not in repr(settings)


def test_every_setting_with_a_file_of_its_own_is_a_secret() -> None:
    names = Settings.__struct_fields__
    with_files = {name for name in names if f"{name}_file" in names}
    given = {f"DRIFTLINE_{name.upper()}": f"hunter-{name}" for name in with_files}
    assert with_files
    assert set(load_settings(given).secrets()) == set(given.values())


def test_sasl_without_a_password_says_where_to_put_it() -> None:
    environment = {"DRIFTLINE_SECURITY_PROTOCOL": "SASL_SSL", "DRIFTLINE_SASL_USERNAME": "user"}
    with pytest.raises(ConfigError, match="needs a password: set DRIFTLINE_SASL_PASSWORD_FILE"):
        load_settings(environment)


@pytest.mark.parametrize("text", ["hunter2 hunter2", '"hunter2', "hunter2\n"])
def test_a_password_that_breaks_the_file_is_not_told(text: str) -> None:
    write("driftline.toml", f"sasl_password = {text}")
    with pytest.raises(ConfigError) as error:
        load_settings({})
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\xff\xfe"])
def test_a_password_file_that_cannot_be_read_is_named(content: bytes | None) -> None:
    if content is not None:
        Path("secret").write_bytes(content)
    with pytest.raises(ConfigError, match=r"^sasl_password_file secret (cannot be read|has nothing)"):
        load_settings({"DRIFTLINE_SASL_PASSWORD_FILE": "secret"})


# Descriptions


def test_every_setting_is_described_and_nothing_else() -> None:
    assert DESCRIPTIONS.keys() == set(Settings.__struct_fields__)
    assert {f"DRIFTLINE_{name.upper()}" for name in Settings.__struct_fields__} == VARIABLES.keys()


# Policies


def test_no_file_is_the_default_policy_for_all() -> None:
    assert load_policies("").of("anything") == DEFAULT_POLICY
    assert PolicyBook().models == {}


def test_a_models_table_overrides_the_default_key_by_key() -> None:
    path = write(
        "policy.toml",
        """
        [default]
        task = "classification"
        [default.detectors]
        warm_up = 500
        [default.detectors.adwin]
        delta = 0.1
        [models."credit-risk".detectors]
        use = ["adwin"]
        [models."credit-risk".alerting.severity]
        performance = "critical"
        """,
    )
    book = load_policies(path)
    policy = book.of("credit-risk")
    assert (policy.task, policy.detectors.warm_up) == (Task.CLASSIFICATION, 500)
    assert policy.detectors.use == ("adwin",)
    assert policy.detectors.adwin.delta == 0.1
    assert policy.alerting.severity.performance is Severity.CRITICAL
    assert book.of("another").detectors.use == Policy().detectors.use
    assert book.of("another").detectors.warm_up == 500


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[default.detectors]\nwarm_up = 3", r"^p.toml: \[default\]: .*>= 30.*detectors.warm_up"),
        ("[models.m.horizons]\nlabel_seconds = 0", r'^p.toml: \[models."m"\]: .*horizons.label_seconds'),
        ("[models.m]\ntsak = 'auto'", r'^p.toml: \[models."m"\]: .*tsak'),
        ("[modles.m]", r"^p.toml: .*modles"),
        ("models = 3", r"^p.toml: .*models"),
        ("[models]\nm = 3", r"^p.toml: .*models"),
        ("[default", r"^p.toml: "),
        ("[default.detectors]\nfalse_alarms = 0", r"^p.toml: \[default\]: .*> 0.0.*detectors.false_alarms"),
        (
            "[default.detectors.shares]\nperformance = 0.9",
            r"^p.toml: \[default\]: the shares .* add up to 1.3, and 1 is all there is.*detectors.shares",
        ),
        ("[default.detectors.shares]\nusage = 0", r"^p.toml: \[default\]: .*shares.usage"),
        (
            "[default.detectors.kswin]\nsample = 60",
            r"^p.toml: \[default\]: sample 60 has to be half of window 100 at most.*kswin",
        ),
        (
            "[models.m.horizons]\nlateness_seconds = 60",
            r'^p.toml: \[models."m"\]: future_seconds 3600 has to be lateness_seconds 60 at most.*horizons',
        ),
        ("[default.horizons]\nlabel_seconds = nan", r"^p.toml: \[default\]: .*label_seconds"),
    ],
)
def test_a_wrong_policy_is_named_with_its_key(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load_policies(write("p.toml", text))


def test_a_policy_file_that_is_missing_is_named() -> None:
    with pytest.raises(ConfigError, match=r"^nowhere.toml does not exist"):
        load_policies("nowhere.toml")
