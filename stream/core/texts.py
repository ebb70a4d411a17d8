"""Texts: a class, a category, a label or a comment takes so much memory and no more, however long it is."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from schemas.events import NAME_MAX_LENGTH, Feedback

TEXT_MAX_LENGTH: Final = NAME_MAX_LENGTH
"""Characters of a text that are kept; no name is longer either."""

_BEGINNING: Final = 200
_DIGEST_BYTES: Final = 16


def short(text: str) -> str:
    """Give *text*; of one that is too long its beginning and a digest, by which it differs from others."""
    if len(text) <= TEXT_MAX_LENGTH:
        return text
    digest = hashlib.blake2b(text.encode(), digest_size=_DIGEST_BYTES).hexdigest()
    return f"{text[:_BEGINNING]}... {digest}"


def all_short(texts: Sequence[str]) -> Sequence[str]:
    """Give each of *texts*, shape (n,), as :func:`short` does."""
    if max(map(len, texts), default=0) <= TEXT_MAX_LENGTH:
        return texts
    return list(map(short, texts))


def to_keep(feedback: Feedback) -> Feedback:
    """Give *feedback* as it waits for its prediction: its texts short."""
    label, comment = feedback.label, feedback.comment
    if isinstance(label, str) and len(label) > TEXT_MAX_LENGTH:
        feedback = replace(feedback, label=short(label))
    if comment is not None and len(comment) > TEXT_MAX_LENGTH:
        feedback = replace(feedback, comment=short(comment))
    return feedback
