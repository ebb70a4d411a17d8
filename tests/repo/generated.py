"""Pages that are made from code: ``python -m tests.repo.generated`` writes them, a test keeps them equal."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import get_args, get_type_hints

import msgspec

from schemas.policy import Policy
from stream.core.procedure import TRANSITIONS
from stream.lab.report import BEGIN, END, between_markers

DOCS = Path(__file__).resolve().parents[2] / "docs"
README = DOCS.parent / "README.md"

_POLICY_INTRODUCTION = (
    "Made from `schemas/policy.py`. A policy file is TOML; a key stands under `[default]` or under "
    '`[models."NAME"]`, where it overrides the default. Anything else is an error that names the key.'
)


def with_table(readme: str, page: str) -> str:
    """Give *readme* with the table of alarm quality that *page* has."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{between_markers(page)}\n{END}{after}"


def policy_page() -> str:
    """Give docs/policy.md."""
    lines = [
        "# Every key of a policy",
        "",
        _POLICY_INTRODUCTION,
        "",
        "| key | default | allowed |",
        "|---|---|---|",
    ]
    lines += [f"| `{key}` | `{default}` | {allowed} |" for key, default, allowed in _keys(Policy(), "")]
    for name, table in _tables(Policy(), ""):
        lines += ["", f"## `{name}`" if name else "## The whole", "", _prose(table)]
    return "\n".join(lines) + "\n"


def incident_page() -> str:
    """Give docs/incidents.md."""
    lines = [
        "# The way of an incident",
        "",
        "Made from the table of transitions in `stream/core/procedure.py`; nothing else happens.",
        "",
        "```mermaid",
        "stateDiagram-v2",
    ]
    for (state, cause), step in TRANSITIONS.items():
        lines.append(f"    {'[*]' if state is None else state.value} --> {step.to.value}: {cause.value}")
    ended = {step.to for step in TRANSITIONS.values()} - {state for state, _ in TRANSITIONS}
    lines += [f"    {state.value} --> [*]" for state in sorted(ended)]
    lines += ["```", "", "| from | cause | to | what the history says |", "|---|---|---|---|"]
    for (state, cause), step in TRANSITIONS.items():
        came = "" if state is None else state.value
        lines.append(f"| {came} | {cause.value} | {step.to.value} | {step.reason} |")
    return "\n".join(lines) + "\n"


PAGES = {"policy.md": policy_page, "incidents.md": incident_page}


def _keys(table: msgspec.Struct, prefix: str) -> Iterator[tuple[str, str, str]]:
    hints = get_type_hints(type(table), include_extras=True)
    for field in msgspec.structs.fields(table):
        value = getattr(table, field.name)
        if isinstance(value, msgspec.Struct):
            yield from _keys(value, f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}", _toml(value), _allowed(hints[field.name])


def _tables(table: msgspec.Struct, name: str) -> Iterator[tuple[str, msgspec.Struct]]:
    yield name, table
    for field in msgspec.structs.fields(table):
        value = getattr(table, field.name)
        if isinstance(value, msgspec.Struct):
            yield from _tables(value, f"{name}.{field.name}".lstrip("."))


def _prose(table: msgspec.Struct) -> str:
    paragraphs = (type(table).__doc__ or "").split("\n\n")
    return "\n\n".join(
        " ".join(line.strip() for line in paragraph.splitlines()) for paragraph in paragraphs
    ).strip()


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Enum):
        return f'"{value.value}"'
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return str(value)


def _allowed(hint: object) -> str:
    if isinstance(hint, type) and issubclass(hint, Enum):
        return ", ".join(f"`{member.value}`" for member in hint)
    meta = [note for note in get_args(hint) if isinstance(note, msgspec.Meta)]
    bounds = {
        "gt": "above",
        "ge": "at least",
        "lt": "below",
        "le": "at most",
        "max_length": "up to",
    }
    said = [
        f"{words} {getattr(note, name)}"
        for note in meta
        for name, words in bounds.items()
        if getattr(note, name) is not None
    ]
    return ", ".join(said)


if __name__ == "__main__":
    for page, make in PAGES.items():
        (DOCS / page).write_text(make())
    README.write_text(with_table(README.read_text(), (DOCS / "alarm-quality.md").read_text()))
