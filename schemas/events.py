"""What somebody says happened: predictions, feedback, lifecycle notices and commands (version 1).

Every event is a JSON object with a ``type``. Unknown fields are ignored, so that a producer may send more
than Driftline reads. Times are RFC 3339 with an offset; numbers are finite (JSON has no other).
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final

import msgspec

from schemas.baselines import PUBLISHED_MAX, PublishedBaseline, digest_of

NAME_MAX_LENGTH = 256
"""Longest id, model, version, feature or segment name, in characters."""

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=NAME_MAX_LENGTH)]
Time = Annotated[datetime, msgspec.Meta(tz=True)]
Whole = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Scalar = bool | Whole | float | str
"""A class or a quantity: what a model answers and what turns out to be true. Whole numbers have 64 bits."""


class FeedbackKind(StrEnum):
    """What a feedback event tells about its prediction."""

    LABEL = "label"
    THUMBS = "thumbs"
    RATING = "rating"
    COMPLAINT = "complaint"
    HARM_REPORT = "harm_report"
    ESCALATION = "escalation"
    APPEAL = "appeal"
    OVERRIDE = "override"


class LifecycleKind(StrEnum):
    """What happened to a model beside answering."""

    DEPLOYED = "deployed"
    RETRAINED = "retrained"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"
    RETIRED = "retired"
    BASELINE_SET = "baseline_set"
    BASELINE_ACCEPTED = "baseline_accepted"
    BASELINE_RESET = "baseline_reset"
    BASELINE_FROZEN = "baseline_frozen"
    SELF_MODIFICATION = "self_modification"


class Usage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What a prediction cost: latency in milliseconds, tokens, money in the deployment's currency."""

    latency_ms: float | None = None
    input_tokens: Whole | None = None
    output_tokens: Whole | None = None
    cost: float | None = None


class Safety(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What the guards around a model saw: harms and attacks are scores in [0, 1] by category."""

    refused: bool | None = None
    blocked: bool | None = None
    finish_reason: str | None = None
    harms: dict[Name, float] | None = None
    attacks: dict[Name, float] | None = None


class _Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag_field="type"):
    id: Name
    model: Name
    time: Time


class Prediction(_Event, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag="prediction"):
    """What a model answered. A signal exists only where its field does."""

    version: Name | None = None
    output: Scalar | None = None
    score: float | None = None
    probabilities: dict[Name, float] | None = None
    features: dict[Name, Scalar | None] | None = None
    segments: dict[Name, str] | None = None
    usage: Usage | None = None
    safety: Safety | None = None
    subject: str | None = None
    variant: str | None = None


class Feedback(_Event, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag="feedback"):
    """What turned out to be true of a prediction, or what somebody said of it.

    ``label`` goes with the kinds ``label`` and ``override``, ``value`` with ``thumbs`` (true is up) and
    ``rating``.
    """

    prediction_id: Name
    kind: FeedbackKind
    label: Scalar | None = None
    value: bool | float | None = None
    comment: str | None = None


NEEDS_ACTOR: Final = frozenset(
    {LifecycleKind.BASELINE_ACCEPTED, LifecycleKind.BASELINE_RESET, LifecycleKind.BASELINE_FROZEN}
)
"""What is done to baselines, which nobody but somebody who is named does."""


Baselines = Annotated[list[PublishedBaseline], msgspec.Meta(min_length=1, max_length=PUBLISHED_MAX)]


class Lifecycle(_Event, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag="lifecycle"):
    """What was done to a model, by whom, with the digests that prove it.

    What is done to baselines is done to those of the series of that *version*, *segment* (``region=south``)
    and *signal*, of all where one is not given, from this event on.
    """

    kind: LifecycleKind
    version: Name | None = None
    segment: str | None = None
    signal: str | None = None
    actor: str | None = None
    actor_role: str | None = None
    component: str | None = None
    digest_before: str | None = None
    digest_after: str | None = None
    approval: str | None = None
    comment: str | None = None
    baselines: Baselines | None = None

    def __post_init__(self) -> None:
        """Refuse what nobody answers for, and baselines that are not those that were published."""
        if (self.kind in NEEDS_ACTOR or self.baselines) and not self.actor:
            raise ValueError(f"{self.kind} needs an actor: who says so")
        if self.baselines is None:
            return
        if self.kind is not LifecycleKind.BASELINE_SET:
            raise ValueError(f"{self.kind} takes no baselines: {LifecycleKind.BASELINE_SET} does")
        if self.digest_after != (digest := digest_of(self.baselines)):
            raise ValueError(f"the baselines have the digest {digest}, digest_after is {self.digest_after}")


class Command(_Event, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag="command"):
    """A person or an agent acts on an incident; idempotent by its id."""

    incident_id: Name
    action: Name
    actor_id: Name
    actor_role: Name
    evidence: list[dict[str, str]] | None = None
    comment: str | None = None


Event = Prediction | Feedback | Lifecycle | Command
