"""The JSON Schemas (2020-12) of the messages, for producers and consumers in other languages.

``python -m schemas.export`` writes them into ``schemas/jsonschema``; with ``--check`` it only compares.
"""

from __future__ import annotations

import argparse
import inspect
import json
import sys
from importlib.resources import files
from typing import Any, Final

import msgspec

from schemas.alerts import Alert, Incident, Rejected
from schemas.codec import ARRAY_MAX_ELEMENTS
from schemas.events import NEEDS_ACTOR, Command, Feedback, Lifecycle, LifecycleKind, Prediction
from schemas.policy import Policy

Schema = dict[str, Any]

_EVENTS: Final = (Prediction, Feedback, Lifecycle, Command)
_MESSAGES: Final = (*_EVENTS, Alert, Incident, Rejected, Policy)
_FOLDER: Final = files("schemas") / "jsonschema"

_BY_SOMEBODY: Final = {
    "required": ["actor"],
    "properties": {"actor": {"type": "string", "minLength": 1}},
}
_RULES: Final[dict[str, Schema]] = {
    "Lifecycle": {
        "allOf": [
            {"if": {"properties": {"kind": {"enum": sorted(NEEDS_ACTOR)}}}, "then": _BY_SOMEBODY},
            {
                "if": {"required": ["baselines"], "properties": {"baselines": {"type": "array"}}},
                "then": {
                    "allOf": [
                        _BY_SOMEBODY,
                        {
                            "required": ["digest_after"],
                            "properties": {"kind": {"const": LifecycleKind.BASELINE_SET.value}},
                        },
                    ]
                },
            },
        ]
    }
}
"""What classes check beside the types of their fields."""


def schemas() -> dict[str, Schema]:
    """Give the schema of every message by its name; ``event`` is the value of any input record."""
    named = {message.__name__.lower(): _message(message) for message in _MESSAGES}
    return {**named, "event": _event()}


def texts() -> dict[str, bytes]:
    """Give the files by their names: the same schemas always give the same bytes."""
    return {
        f"{name}.json": (json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()
        for name, schema in schemas().items()
    }


def differences() -> list[str]:
    """Give the names of files that are missing, are not as the code has them, or belong to no message."""
    wanted = texts()
    there = {file.name: file.read_bytes() for file in _FOLDER.iterdir() if file.name.endswith(".json")}
    return sorted(name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name))


def main(arguments: list[str] | None = None) -> int:
    """Write the files, or compare them; the exit status is 1 where they differ."""
    parser = argparse.ArgumentParser(prog="python -m schemas.export", description="Export the JSON Schemas.")
    parser.add_argument("--check", action="store_true", help="write nothing, exit with 1 where files differ")
    if parser.parse_args(arguments).check:
        differing = differences()
        sys.stdout.writelines(f"schemas/jsonschema/{name} is not as the code has it\n" for name in differing)
        return 1 if differing else 0
    for name, text in texts().items():
        with open(str(_FOLDER / name), "wb") as file:  # noqa: PTH123 - the contract imports no pathlib
            file.write(text)
    return 0


def _message(message: type[msgspec.Struct]) -> Schema:
    schema = msgspec.json.schema(message)
    return _finished(message.__name__, message.__doc__ or "", {"$ref": schema["$ref"]}, schema["$defs"])


def _event() -> Schema:
    one, components = msgspec.json.schema_components(_EVENTS, ref_template="#/$defs/{name}")
    event = {"anyOf": list(one)}
    body: Schema = {"anyOf": [*one, {"type": "array", "items": event, "maxItems": ARRAY_MAX_ELEMENTS}]}
    return _finished("Event", "One event, or an array of events of one topic.", body, components)


def _finished(name: str, description: str, body: Schema, definitions: dict[str, Schema]) -> Schema:
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:driftline:v1:{name.lower()}",
        "title": name,
        "description": _line(description),
        **body,
        "$defs": {
            title: {**definition, **_RULES.get(title, {}), "description": _line(definition["description"])}
            for title, definition in definitions.items()
        },
    }


def _line(docstring: str) -> str:
    """Give a docstring as plain text: its paragraphs on a line each, without the marks of its code."""
    paragraphs = inspect.cleandoc(docstring).replace("``", "`").split("\n\n")
    return "\n\n".join(paragraph.replace("\n", " ") for paragraph in paragraphs)


if __name__ == "__main__":
    sys.exit(main())
