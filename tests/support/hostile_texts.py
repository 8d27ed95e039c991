"""Texts made to make reading slow, and everything that reads texts of callers and models; a test runs it in a process of its own.

The process gets a limit on its CPU time: whatever takes more than linear time on 200,000 characters runs into it.
"""

from __future__ import annotations

import resource
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

from judge_service.adapters.json_schema import JsonSchemaValidator
from judge_service.domain import agreement, checks, rubric
from judge_service.domain.candidates import AnswerForm, Candidate, Case, Contract, Speaker, Turn
from judge_service.domain.errors import UnreadableReply
from judge_service.domain.plain_text import visible_text, without_template_marks
from judge_service.domain.verifier_features import read_answer, read_question
from router_service.adapters.slow_classifier import parse_reply
from router_service.domain.taxonomy import Axis

CHARS = 200_000
CPU_S = 60
UNITS = (
    " ", "\n", "\t", "1", "1,", "1/ ", "1 ", "1.", "1e", "1+", "1 + ", "1=", "-", "a", "A)", "A) \n", "(A) ", "(", "[", "{", "{}",
    "\\boxed{", "\\boxed{{}", "\\frac{1", "\\text {", "<answer>", "answer is ", "answer: ", '"answer": ', "'answer':'", '"', "'", '\\"',
    "```", "```\n",
    "``` \n", "; ", ";\n", "x^", "×10^{", "_a", "Yes ", "sorry ", "<!--", "<!---->", "<a hidden", "<a hidden>", "[x]: # (", "<|", "[/INST]",
    "\u200b", "\U000e0041", "é", "not ", "lambda:", "{a}", "f'{a}'\n", "\x00",
)  # fmt: skip
"""Repeated, each brings some expression to try the same characters again and again if it can."""
SCHEMA = '{"items": {"$ref": "#"}, "pattern": "^(a+)+$", "uniqueItems": true}'


def read_all(text: str, schemas: JsonSchemaValidator) -> None:
    """Everything that reads ``text``, as an answer, as another answer and as a question."""
    question = Turn(Speaker.USER, "How many? (A) 3 (B) 4")
    answer = Candidate(id="a", text=text)
    for form in AnswerForm:
        contract = Contract(form=form, json_schema=SCHEMA if form is AnswerForm.JSON else "")
        checks.opinion_of(Case(conversation=(question,), candidate=answer, contract=contract), schemas)
    agreement.opinion_of(Case(conversation=(Turn(Speaker.USER, text),), candidate=answer, others=(answer,)))
    read_answer(text, read_question(text))
    without_template_marks(visible_text(text))
    with suppress(UnreadableReply):
        rubric.read_rubric(text)
    parse_reply(text, {Axis.DOMAIN: ("math",)})


def main() -> None:
    """Reads all; the limit on CPU time ends the process."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    schemas = JsonSchemaValidator()
    for unit in UNITS[int(sys.argv[1]) :: int(sys.argv[2])]:
        body = (unit * (CHARS // len(unit)))[: CHARS - 20]
        for text in (f"{body}!", f"f'{body}' answer"):
            _in_thread(lambda text=text: read_all(text, schemas))
    sys.stdout.write("read\n")


def _in_thread(work: Callable[[], None]) -> None:
    """Judges work in threads, whose stack is what deep nesting must not overflow."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - it is raised again below, where the process ends with it
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]


if __name__ == "__main__":
    main()
