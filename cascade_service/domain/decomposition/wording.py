"""What a piece of text looks like: a request, and one that can stand alone. English; in doubt the answer is no."""

from __future__ import annotations

import re

REFERENCE_WORDS_MAX = 12
"""A pronoun in a first sentence of at most so many words is taken for one that refers to what came before."""
SHORT_WORDS_MAX = 40
"""In a text of at most so many words "the answer" is taken for that to something before it; a longer one may have its own."""
_OPENING_WORDS = 4

_ASKS = (
    "what|which|who|whom|whose|when|where|why|how|is|are|was|were|do|does|did|can|could|will|would|should|shall|has|have|had|may|"
    "at what|in what|in which|on which|for which|to what"
)
_TASK_VERBS = (
    "write|translate|explain|summari[sz]e|list|calculate|compute|solve|find|describe|compare|convert|name|draft|compose|define|prove|"
    "sort|count|add|subtract|multiply|divide|double|suggest|recommend|tell|determine|evaluate|simplify|factor|decrypt|encrypt|rewrite|implement|design|draw|plan|outline"
)
_STARTS_AS_QUESTION = re.compile(rf"(?:please |and |also |so )?(?:{_ASKS})\b", re.IGNORECASE)
_STARTS_AS_TASK = re.compile(rf"(?:please |also |now )?(?:{_TASK_VERBS})\b(?! this\b)", re.IGNORECASE)
_SENTENCE_END = re.compile(r"(?<=[.?!])[\"')\]]*\s+(?=[\"'(\[]*[A-Z0-9$\\])")
_ORDINAL = r"(?:first|second|third|fourth|previous|preceding|last|earlier|other|former|latter)"
_NAMES_ANOTHER = re.compile(
    rf"\b{_ORDINAL} (?:question|answer|result|task|problem)s?\b|"
    r"\b(?:question|task|problem|answer)s? (?:to |of )?#?(?:\d{1,2}|one|two|three)\b",
    re.IGNORECASE,
)
_SPEAKS_OF_AN_ANSWER = re.compile(
    r"\b(?:that|this) (?:answer|result|solution|output)\b|\b(?:part|item|step) (?:\d{1,2}|[a-h])\b|"
    r"\b(?:us(?:e|ing)|with|from|take|translate|double|multiply|explain|justify|compare|check|convert) "
    r"(?:the|your) (?:answer|result|solution|output)s?\b",
    re.IGNORECASE,
)
_PRONOUNS = (
    r"it|its|they|them|their|theirs|he|him|his|she|her|hers|former|latter|previous|do so|do the same|why not|how so|what about|how about|"
    r"again|instead|otherwise|if so|if not"
)
_PRONOUN = re.compile(
    rf"\b(?:{_PRONOUNS})\b|^(?:this|that)\b|\bthat\b(?=[ ]*(?:[.,;?!]|$))|"
    r"\b(?:this|these|those)\b(?=[ ]*(?:[.,;?!]|$|(?:is|are|was|were|in|to|into|for|and|with|as|by)\b))",
    re.IGNORECASE,
)
_POINTS_ANYWHERE = re.compile(rf"\b(?:{_PRONOUNS}|this|that|these|those|such|same|above)\b", re.IGNORECASE)
_INSTRUCTS_ALL = re.compile(
    r"(?:please |for (?:each|all|every|both)\b|"
    r"answer|give|reply|respond|use|keep|format|provide|return|write|explain|show|be|do not|limit)\b"
    r".*\b(?:(?:each|every|both|all)(?: of)?(?: the| these| them| my)*(?: [a-z]+)?|answers|questions|tasks|responses|respectively)\b",
    re.IGNORECASE | re.DOTALL,
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
    short = len(text.split()) <= SHORT_WORDS_MAX
    if _NAMES_ANOTHER.search(text) is not None or (short and _SPEAKS_OF_AN_ANSWER.search(text) is not None):
        return True
    return _PRONOUN.search(_opening(text)) is not None


def may_refer_back(text: str) -> bool:
    """As ``refers_back``, and true as well when any pointing word stands where ``text`` begins."""
    return refers_back(text) or _POINTS_ANYWHERE.search(_opening(text)) is not None


def _opening(text: str) -> str:
    """The first sentence, or the first words of a long one: what comes later can refer to the sentence itself."""
    first = next(iter(sentences(text)), "")
    words = first.split()
    return first if len(words) <= REFERENCE_WORDS_MAX else " ".join(words[:_OPENING_WORDS])


def instructs_all(text: str) -> bool:
    """True when ``text`` may tell how several things are to be answered."""
    return _INSTRUCTS_ALL.match(text) is not None
