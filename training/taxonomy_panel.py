"""The panel's own short questions as examples for the taxonomy."""

from __future__ import annotations

import hashlib

from training.panel_questions import PanelQuestion, panel_questions
from training.seed_prompts import DEV_SHARE_PERCENT
from training.taxonomy_labels import Example

DOMAINS = {
    "general_knowledge": "general",
    "math": "math",
    "language": "language",
    "code": "computing",
    "logic": "puzzles",
    "science": "science",
    "humanities": "humanities",
}
"""The panel's domains in terms of the taxonomy."""
_TASK_TYPES = {"math": "calculation", "code": "code_execution", "logic": "logic_puzzle", "language": "text_processing"}
_FORMATS = {"number": "number", "text": "short_text", "yes_no": "short_text", "choice": "choice", "literal": "short_text"}


def panel_examples() -> list[Example]:
    """One example per question of the panel."""
    return [Example(question.text, _labels(question), _split(question.text), "panel") for question in panel_questions()]


def _labels(question: PanelQuestion) -> dict[str, str]:
    """Labels by axis.

    The panel calls hard what is hard for small models; on the scale of the recorded models only its `low` has a counterpart.
    """
    family = question.id.rsplit("-", 1)[0]
    labels = {
        "task_type": "translation" if family == "translation" else _TASK_TYPES.get(question.domain, "knowledge"),
        "domain": DOMAINS[question.domain],
        "output_format": _FORMATS[question.kind],
    }
    if question.reasoning_complexity == "low":
        labels["reasoning_complexity"] = "low"
    return labels


def _split(text: str) -> str:
    return "dev" if int(hashlib.sha256(text.encode()).hexdigest(), 16) % 100 < DEV_SHARE_PERCENT else "train"
