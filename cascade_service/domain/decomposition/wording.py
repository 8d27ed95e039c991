"""What a piece of text looks like: a request, and one that can stand alone. English; in doubt the answer is no."""

from __future__ import annotations

import re

REFERENCE_WORDS_MAX = 12
"""A pronoun in a first sentence of at most so many words is taken for one that refers to what came before."""
_OPENING_WORDS = 4

_ASKS = (
    "what|which|who|whom|whose|when|where|why|how|is|are|was|were|do|does|did|can|could|will|would|should|shall|has|have|had|may|"
    "at what|in what|in which|on which|for which|to what"
)
_TASK_VERBS = (
    "write|translate|explain|summari[sz]e|list|calculate|compute|solve|find|describe|compare|convert|name|draft|compose|define|prove|"
    "sort|count|suggest|recommend|tell|determine|evaluate|simplify|factor|decrypt|encrypt|rewrite|implement|design|draw|plan|outline"
)
_STARTS_AS_QUESTION = re.compile(rf"(?:please |and |also |so )?(?:{_ASKS})\b", re.IGNORECASE)
_STARTS_AS_TASK = re.compile(rf"(?:please |also |now )?(?:{_TASK_VERBS})\b(?! this\b)", re.IGNORECASE)
_SENTENCE_END = re.compile(r"(?<=[.?!])[\"')\]]*\s+(?=[\"'(\[]*[A-Z0-9$\\])")
_ORDINAL = r"(?:first|second|third|fourth|previous|preceding|last|earlier|other|former|latter)"
_PIECE = r"(?:question|answer|result|part|task|problem|item|step|one|output|solution)s?"
_NAMES_ANOTHER = re.compile(
    rf"\b{_ORDINAL} {_PIECE}\b|\b(?:question|part|task|problem|answer|item|step)s? (?:to |of )?(?:#?\d{{1,2}}|[a-h]|one|two|three)\b|"
    rf"\byour (?:{_ORDINAL} )?(?:answer|result|solution)s?\b|\b(?:the|that|this) (?:answer|result|solution)\b",
    re.IGNORECASE,
)
_PRONOUN = re.compile(
    r"\b(?:it|its|they|them|their|theirs|he|him|his|she|her|hers|this|that|these|those|such|same|former|latter|above|previous|"
    r"do so|why not|how so|what about|how about|again|instead|otherwise|if so|if not)\b",
    re.IGNORECASE,
)
_INSTRUCTS_ALL = re.compile(
    r"\b(?:each|both|every|all (?:of )?(?:them|these|the|questions|answers|parts|tasks)|answers|questions|respectively|in order)\b",
    re.IGNORECASE,
)


def sentences(text: str) -> list[str]:
    """Sentences of one paragraph; abbreviations may cut one in two."""
    return [sentence for sentence in (piece.strip() for piece in _SENTENCE_END.split(text)) if sentence]


def paragraphs(text: str) -> list[str]:
    """What blank lines part."""
    return [paragraph for paragraph in (piece.strip() for piece in re.split(r"\n[ \t]*\n", text)) if paragraph]


def starts_as_question(text: str) -> bool:
    """True when it begins with a word that questions begin with."""
    return _STARTS_AS_QUESTION.match(text) is not None


def starts_as_task(text: str) -> bool:
    """True when it begins by telling to do something."""
    return _STARTS_AS_TASK.match(text) is not None


def asks(text: str) -> bool:
    """True when some sentence of ``text`` is a question or begins by telling to do something."""
    found = [sentence for paragraph in paragraphs(text) for sentence in sentences(paragraph)]
    return any(sentence.endswith("?") or starts_as_task(sentence) for sentence in found)


def refers_back(text: str) -> bool:
    """True when ``text`` seems to speak of something before it: it names another part, or has a pronoun where it begins."""
    if _NAMES_ANOTHER.search(text) is not None:
        return True
    opening = next(iter(sentences(text)), "")
    words = opening.split()
    within = opening if len(words) <= REFERENCE_WORDS_MAX else " ".join(words[:_OPENING_WORDS])
    return _PRONOUN.search(within) is not None


def instructs_all(text: str) -> bool:
    """True when ``text`` may tell how several things are to be answered."""
    return _INSTRUCTS_ALL.search(text) is not None
