"""Runs a user's verifier: one process per answer, JSON on its standard input, the score from its output or exit code.

Input: `question_id`, `question`, `prompt`, `references`, `domain`, `dataset`, `model`, `sample`, `answer`, `finish_reason`, and `fields`,
an object with the further fields of the questions' file. Output: a number from 0 to 1 on the last line with exit code 0; or nothing, and
exit code 0 for right or 1 for wrong. Anything else is an error of the verifier, words on standard error with exit code 1 included (they
are how a script that broke down ends); the answer then stays without a label.
"""

from __future__ import annotations

import asyncio
import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from training.record.entries import AnswerKey, GivenAnswer, GivenLabel
from training.record.failures import RecordingFailed
from training.record.journal import Journal
from training.record.questions import AskedQuestion

_WRONG_EXIT: Final = 1
_SAID_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class Unverified:
    """An answer that the verifier could not judge, and what happened."""

    key: AnswerKey
    why: str


class VerifierCommand:
    """A command line, split as a shell would; no shell runs it. ``timeout_s`` bounds one answer."""

    def __init__(self, command: str, *, timeout_s: float) -> None:
        self.by = f"command: {command}"
        try:
            self._words = shlex.split(command)
        except ValueError as error:
            raise RecordingFailed(f"--label command {command!r}: {error}") from error
        if not self._words:
            raise RecordingFailed("--label command needs a command")
        self._timeout_s = timeout_s

    async def score(self, question: AskedQuestion, answer: GivenAnswer) -> float | str:
        """The score, 0.0 to 1.0, or what went wrong. Raises ``RecordingFailed`` when the command can't be started."""
        try:
            process = await asyncio.create_subprocess_exec(
                *self._words, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
            )
        except OSError as error:
            raise RecordingFailed(f"--label command: {self._words[0]} can't be started: {error.strerror}") from error
        try:
            async with asyncio.timeout(self._timeout_s):
                out, err = await process.communicate(_input(question, answer))
        except TimeoutError:
            return f"no answer within {self._timeout_s:g} seconds"
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return _read(process.returncode or 0, out.decode(errors="replace"), err.decode(errors="replace"))


async def verify(verifier: VerifierCommand, answers: Sequence[GivenAnswer], *, journal: Journal, concurrency_max: int) -> list[Unverified]:
    """Has every answer verified that the journal has no label of this verifier for; those that could not be."""
    slots, writing = asyncio.Semaphore(concurrency_max), asyncio.Lock()
    failed: list[Unverified] = []

    async def work(answer: GivenAnswer) -> None:
        async with slots:
            score = await verifier.score(journal.questions[answer.key.question_id], answer)
        if isinstance(score, str):
            failed.append(Unverified(answer.key, score))
            return
        async with writing:
            await asyncio.to_thread(journal.add, [GivenLabel(key=answer.key, by=verifier.by, score=score)])

    try:
        async with asyncio.TaskGroup() as tasks:
            for answer in answers:
                if (answer.key, verifier.by) not in journal.labels:
                    tasks.create_task(work(answer))
    except* RecordingFailed as group:
        raise group.exceptions[0] from None
    return failed


def _input(question: AskedQuestion, answer: GivenAnswer) -> bytes:
    value = {
        "question_id": question.id,
        "question": question.text,
        "prompt": question.prompt,
        "references": question.references,
        "domain": question.domain,
        "dataset": question.dataset,
        "model": answer.key.model,
        "sample": answer.key.sample,
        "answer": answer.text,
        "finish_reason": answer.finish_reason,
        "fields": dict(question.extra),
    }
    return json.dumps(value, ensure_ascii=False).encode()


def _read(exit_code: int, out: str, err: str) -> float | str:
    said = out.strip().splitlines()
    if not said and (exit_code == 0 or (exit_code == _WRONG_EXIT and not err.strip())):
        return 1.0 if exit_code == 0 else 0.0
    if exit_code != 0:
        return f"exit code {exit_code}: {(err or out).strip()[-_SAID_MAX:]}"
    try:
        score = float(said[-1])
    except ValueError:
        return f"printed {said[-1][:_SAID_MAX]!r}, no number"
    return score if 0.0 <= score <= 1.0 else f"printed {score:g}, which is not within 0 and 1"
