"""Quix Streams: an application with a dataframe a topic, over librdkafka; the join is in memory."""

from __future__ import annotations

import os
import sys
import tempfile

from quixstreams import Application

from benchmarks.peers.work import JoinedWatch


def main(bootstrap: str, prefix: str, units: str) -> None:
    """Do *units* units of work from the topics under *prefix*, then end the process."""
    app = Application(
        broker_address=bootstrap,
        consumer_group=f"{prefix}quix",
        auto_offset_reset="earliest",
        auto_create_topics=False,
        use_changelog_topics=False,
        state_dir=tempfile.mkdtemp(prefix="driftline-bench-"),
        loglevel="WARNING",
    )
    work = JoinedWatch(int(units), lambda: os._exit(0))  # what follows is not measured, nor is it needed
    for name, take in (("predictions", work.prediction), ("feedback", work.feedback)):
        topic = app.topic(f"{prefix}{name}", value_deserializer="bytes", key_deserializer="bytes")
        app.dataframe(topic).update(take)
    app.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
