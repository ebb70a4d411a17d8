"""The policies that the measures run under."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Final

THROUGHPUT: Final = """\
[default.signals]
missing = false
new_category = false
[default.detectors]
use = ["adwin", "page_hinkley"]
warm_up = 1000
"""
"""Eight series a version: four features, score, output, latency_ms, error; both detectors over each."""

LATENCY: Final = """\
[default.signals]
missing = false
new_category = false
[default.detectors]
use = ["adwin", "page_hinkley"]
warm_up = 200
[default.alerting]
repeat_seconds = 1
recover_seconds = 1
"""
"""The same series, but every finding becomes an alert."""

MANY_SERIES: Final = """\
[default.signals]
missing = false
new_category = false
[default.detectors]
use = ["adwin", "page_hinkley"]
warm_up = 100
"""
"""The same series, warm after few readings."""

PENDING: Final = """\
[default.signals]
error = false
score = false
output = false
features = false
missing = false
new_category = false
usage = false
feedback = false
[default.bounds]
pending = 1000000
seen_ids = 1
"""
"""Nothing but the join: what is kept grows by pending predictions alone."""


def write(directory: Path, text: str) -> Path:
    """Write a policy to a file; give its path."""
    path = directory / f"policy-{zlib.crc32(text.encode()):08x}.toml"
    path.write_text(text)
    return path
