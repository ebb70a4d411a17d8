"""Who may come in does, with the least rights; who may not is told why in one line, and no secret is told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import pytest

from stream.cli import main
from stream.shell.access import Grant, Operation, of_creator, of_publisher, of_worker
from stream.shell.connection import Connection
from stream.shell.topics import Topics, create
from tests.integration import logs, reading
from tests.integration.kafka.guarded import MECHANISMS, PASSWORDS, TOKEN, Guarded
from tests.integration.running import ROOT, RunningWorker, driftline, publish, settings

WRONG = "wRoNg-hunter4"
Refusal: TypeAlias = Callable[..., str]
PAGE = (ROOT / "docs" / "security.md").read_text()
SECRETS = (*PASSWORDS.values(), TOKEN, WRONG)


def topics_of(prefix: str) -> Topics:
    return Topics(prefix=prefix, partitions=1)


def environment_of(guarded: Guarded, prefix: str, **more: str) -> dict[str, str]:
    return settings(guarded.kafka, prefix, partitions=1, **guarded.door(**more))


def make_topics(guarded: Guarded, prefix: str) -> None:
    """Make them as the administrator would."""
    asyncio.run(create(Connection(bootstrap=guarded.kafka.bootstrap), topics_of(prefix)))


def no_secret_in(*texts: str) -> None:
    for text in texts:
        assert not [secret for secret in SECRETS if secret in text], text


def on_the_page(said: str, environment: dict[str, str]) -> str:
    """Put what the page has in place of addresses and names that are of the test."""
    said = said.strip().removeprefix("driftline: ").replace(environment["DRIFTLINE_BROKERS"], "HOST:PORT")
    said = said.replace(environment["DRIFTLINE_TLS_CA_FILE"], "CA.pem")
    return f"`{said.replace(environment['DRIFTLINE_PREFIX'], 'driftline.')}`"


@pytest.fixture
def refusal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> Iterator[Refusal]:
    """Run a command, in this process for speed, that ends with status 1 and says one line: give that."""

    def run(environment: dict[str, str], *arguments: str) -> str:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        caplog.clear()
        status = main(arguments or ("worker",))
        said = capsys.readouterr()
        assert status == 1, said.err
        no_secret_in(said.out, said.err, caplog.text)
        assert not said.out
        assert on_the_page(said.err, environment) in PAGE
        assert not [record for record in caplog.records if record.levelno > logging.WARNING]
        (line,) = said.err.splitlines()
        return line

    levels = {name: logging.getLogger(name).level for name in ("faust", "mode", "aiokafka", "asyncio")}
    caplog.set_level(logging.DEBUG)
    yield run
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


# Who may come in


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_the_least_rights_are_enough(guarded: Guarded, prefix: str, tmp_path: Path, mechanism: str) -> None:
    topics = topics_of(prefix)
    guarded.grant("worker", of_worker(topics, prefix + "workers"))
    guarded.grant("publisher", of_publisher(topics))
    if mechanism == "PLAIN":
        guarded.grant("worker", of_creator(topics))
    else:
        make_topics(guarded, prefix)
    worked = environment_of(guarded, prefix, mechanism=mechanism)
    sent = environment_of(guarded, prefix, user="publisher", mechanism=mechanism)
    file = logs.write(tmp_path / "events.jsonl", logs.shifted(["credit"], 3_000))
    with RunningWorker(worked, tmp_path / "log").ready() as worker:
        publish(file, sent)
        reading.wait_until_committed(guarded.kafka, worked, file)
        status, text = worker.answer("/metrics")
        assert (status, worker.answer("/healthz")[0]) == (401, 200)
        no_secret_in(text)
        assert worker.terminate() == 0
        assert "uthorization" not in worker.log
        no_secret_in(worker.log)
    assert reading.incidents(guarded.kafka, prefix)
    if mechanism == "PLAIN":
        with RunningWorker(worked, tmp_path / "again").ready() as worker:  # which reads the state
            assert worker.terminate() == 0


def test_a_certificate_is_a_name_too(guarded: Guarded, prefix: str) -> None:
    guarded.grant("CN=worker-by-certificate", of_creator(topics_of(prefix)))
    certificate, key = guarded.client
    environment = environment_of(
        guarded,
        prefix,
        brokers=guarded.kafka.address("MUTUAL"),
        security_protocol="SSL",
        tls_cert_file=str(certificate),
        tls_key_file=str(key),
    )
    made = driftline("topics", "create", environment=environment)
    assert made.returncode == 0, made.stderr
    assert f"created {prefix}state" in made.stdout


# Who may not: the connection


def wrong_password(_guarded: Guarded) -> dict[str, str]:
    return {"sasl_password": WRONG}


def wrong_password_by_scram(_guarded: Guarded) -> dict[str, str]:
    return {"sasl_password": WRONG, "mechanism": "SCRAM-SHA-512"}


def expired(guarded: Guarded) -> dict[str, str]:
    return {"brokers": guarded.kafka.address("EXPIRED"), "security_protocol": "SSL"}


def other_host(guarded: Guarded) -> dict[str, str]:
    return {"brokers": guarded.kafka.address("ELSEWHERE"), "security_protocol": "SSL"}


def unknown_authority(guarded: Guarded) -> dict[str, str]:
    return {"tls_ca_file": str(guarded.stranger.certificate)}


def no_certificate(guarded: Guarded) -> dict[str, str]:
    return {"brokers": guarded.kafka.address("MUTUAL"), "security_protocol": "SSL"}


def no_tls(_guarded: Guarded) -> dict[str, str]:
    return {"security_protocol": "SASL_PLAINTEXT"}


def tls_where_there_is_none(guarded: Guarded) -> dict[str, str]:
    return {"brokers": guarded.kafka.bootstrap}


REFUSED = {
    wrong_password: "refuses user worker by PLAIN: the user name or the password is wrong; check",
    wrong_password_by_scram: "refuses user worker by SCRAM-SHA-512: the user name or the password is wrong",
    expired: "has expired: renew it there",
    other_host: "is for another host name: connect by a name that is in it",
    unknown_authority: "is signed by an authority that is not trusted here",
    no_certificate: "asks for a client certificate that it trusts",
    no_tls: "closed the connection at once: does its listener speak SASL_PLAINTEXT, as",
    tls_where_there_is_none: "closed the connection at once: does its listener speak SASL_SSL, as",
}


@pytest.mark.parametrize("how", REFUSED, ids=lambda how: how.__name__)
def test_a_connection_that_is_refused_is_explained(
    guarded: Guarded, prefix: str, refusal: Refusal, how: Callable[[Guarded], dict[str, str]]
) -> None:
    environment = environment_of(guarded, prefix, **how(guarded))
    line = refusal(environment)
    assert line.startswith("driftline: ")
    assert environment["DRIFTLINE_BROKERS"] in line
    assert REFUSED[how] in line


@pytest.mark.parametrize("command", ["publish -", "topics check", "topics create", "worker --processes 2"])
def test_every_command_explains_it_alike(
    guarded: Guarded, prefix: str, refusal: Refusal, command: str
) -> None:
    environment = environment_of(guarded, prefix, **wrong_password(guarded))
    assert REFUSED[wrong_password] in refusal(environment, *command.split())


def test_a_process_of_its_own_says_no_more_than_that_line(guarded: Guarded, prefix: str) -> None:
    environment = environment_of(guarded, prefix, **wrong_password(guarded))
    done = driftline("worker", environment=environment)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert REFUSED[wrong_password] in done.stderr
    no_secret_in(done.stderr)


# Who may not: the rights


def without(grants: list[Grant], name: str, operation: Operation) -> list[Grant]:
    """Leave one operation on one resource out."""
    return [
        replace(grant, operations=tuple(one for one in grant.operations if one is not operation))
        if grant.name == name
        else grant
        for grant in grants
    ]


@pytest.mark.parametrize(
    ("operation", "kind", "name"),
    [
        (Operation.READ, "topic", "predictions"),
        (Operation.WRITE, "topic", "feedback"),
        (Operation.WRITE, "topic", "alerts"),
        (Operation.WRITE, "topic", "incidents"),
        (Operation.WRITE, "topic", "rejected"),
        (Operation.READ, "topic", "state"),
        (Operation.WRITE, "topic", "state"),
        (Operation.READ, "group", "workers"),
    ],
)
def test_a_right_that_is_missing_is_named(
    guarded: Guarded, prefix: str, refusal: Refusal, operation: Operation, kind: str, name: str
) -> None:
    make_topics(guarded, prefix)
    grants = of_worker(topics_of(prefix), prefix + "workers")
    guarded.grant("worker", without(grants, prefix + name, operation))
    line = refusal(environment_of(guarded, prefix))
    assert line == (
        f"driftline: user worker may not {operation.name.lower()} {kind} {prefix}{name}: grant it; "
        "docs/security.md lists the ACLs that are needed"
    )


def test_who_may_not_create_topics_is_told_so(guarded: Guarded, prefix: str, refusal: Refusal) -> None:
    guarded.grant("worker", of_worker(topics_of(prefix), prefix + "workers"))
    line = refusal(environment_of(guarded, prefix))
    assert line.startswith(
        f"driftline: topic {prefix}lifecycle does not exist, and user worker may not create it: run "
        "'driftline topics create' as a user who may"
    )


def test_who_may_not_send_is_told_so(guarded: Guarded, prefix: str, refusal: Refusal) -> None:
    make_topics(guarded, prefix)
    grants = of_publisher(topics_of(prefix))
    guarded.grant("publisher", without(grants, prefix + "feedback", Operation.WRITE))
    line = refusal(environment_of(guarded, prefix, user="publisher"), "publish", "-")
    assert f"user publisher may not write topic {prefix}feedback: grant it" in line


def test_a_right_that_is_taken_away_ends_the_worker_with_a_line_that_says_so(
    guarded: Guarded, prefix: str, tmp_path: Path
) -> None:
    make_topics(guarded, prefix)
    grants = of_worker(topics_of(prefix), prefix + "workers")
    guarded.grant("worker", grants)
    environment = environment_of(guarded, prefix)
    with RunningWorker(environment, tmp_path / "log").ready() as worker:
        guarded.revoke("worker", next(grant for grant in grants if grant.name == prefix + "predictions"))
        assert worker.ended() == 1
        no_secret_in(worker.log)
        assert "Traceback" not in worker.log
        last = worker.log.splitlines()[-1]
    assert "stopped by an error: user worker may not do that" in last
    assert prefix + "predictions" in last


def test_a_topic_that_becomes_read_only_ends_the_worker_with_a_line_that_says_so(
    guarded: Guarded, prefix: str, tmp_path: Path
) -> None:
    make_topics(guarded, prefix)
    grants = of_worker(topics_of(prefix), prefix + "workers")
    guarded.grant("worker", grants)
    guarded.grant("publisher", of_publisher(topics_of(prefix)))
    file = logs.write(tmp_path / "events.jsonl", logs.shifted(["credit"], 3_000))
    with RunningWorker(environment_of(guarded, prefix), tmp_path / "log").ready() as worker:
        guarded.revoke("worker", next(grant for grant in grants if grant.name == prefix + "incidents"))
        publish(file, environment_of(guarded, prefix, user="publisher"))
        assert worker.ended() == 1
        no_secret_in(worker.log)
        last = worker.log.splitlines()[-1]
    assert (
        f"stopped by an error: PublishError: topic {prefix}incidents takes no messages "
        "(TopicAuthorizationFailedError): writing to it is not allowed: grant this user Write on it"
    ) in last
