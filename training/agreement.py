"""How much more often wrong answers agree than independent ones would, and what weighing does: ``python -m training.agreement --data DIR``.

Prints the figures that ``judge_service.domain.support`` holds and the table of ``docs/judging.md``. Answers are compared as extracted,
because further samples have no text. A model's record is its success on training questions of the subdomain, shrunk to that over the arena.
"""

from __future__ import annotations

import argparse
import hashlib
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow.parquet as pq

from judge_service.domain.agreement import AGREES_FROM, opinion_of
from judge_service.domain.candidates import Candidate, Case, Speaker, Turn
from judge_service.domain.final_answer import FinalAnswer, final_answer, options_offered, same_answer
from judge_service.domain.support import OPEN_ALTERNATIVES
from router_service.domain.descriptors import OTHER, family_of
from training.agreement_measure import Judged, show
from training.tables import existing, read_questions

SIZES: Final = (2, 3, 5)
RECORD_WEIGHT: Final = 8.0
SEED: Final = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """One recorded answer. ``quality`` is its model's record, ``sample`` 0 for the first answer of the model."""

    model: str
    sample: int
    text: str
    correct: bool
    quality: float

    @property
    def final(self) -> FinalAnswer:
        """The answer as the judge reads it."""
        return final_answer(self.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question with its answers."""

    arena: str
    split: str
    prompt: str
    answers: tuple[Given, ...]


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m training.agreement", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="data directory with questions.parquet and responses.parquet")
    parser.add_argument("--questions", type=int, default=500, help="questions of each arena and split")
    chosen = parser.parse_args(arguments)
    asked = read(chosen.data, chosen.questions)
    print(f"read {len(asked):,} questions", flush=True)
    show_alike([question for question in asked if question.split == "train"])
    core = _core(chosen.data)
    taught = [judged for arena in sorted({q.arena for q in asked}) for size in SIZES for judged in drawn(asked, "train", arena, size, None)]
    print(f"judged {len(taught):,} sets of training questions", flush=True)
    cases = {
        f"{pool}, {size} answers": list(drawn(asked, "dev", pool, size, core))
        for pool in ("core", *sorted({question.arena for question in asked}))
        for size in SIZES
    }
    show(taught, cases | {"3 samples of one model": list(sampled(asked))})


def read(folder: Path, count: int) -> list[Asked]:
    """``count`` questions of each arena and split with all their answers; the records are those of all training questions."""
    questions = {row["question_id"]: row for row in read_questions(folder)}
    rows = [row for file in ("responses.parquet", "samples.parquet") for row in _rows(folder / file) if row["question_id"] in questions]
    counts: dict[tuple[str, ...], list[int]] = defaultdict(lambda: [0, 0])
    for row in rows:
        question = questions[row["question_id"]]
        if question["split"] == "train" and not row.get("sample"):
            for key in ((row["model"], question["arena"]), (row["model"], question["arena"], question["dataset"], question["subdomain"])):
                counts[key][0] += bool(row["correct"])
                counts[key][1] += 1
    kept = _kept(questions, count)
    answers: dict[str, list[Given]] = defaultdict(list)
    for row in rows:
        name, question = row["question_id"], questions[row["question_id"]]
        if name not in kept:
            continue
        right, all_ = counts[row["model"], question["arena"]]
        near, near_all = counts[row["model"], question["arena"], question["dataset"], question["subdomain"]]
        quality = (near + RECORD_WEIGHT * (right + 1.0) / (all_ + 2.0)) / (near_all + RECORD_WEIGHT)
        said = "" if row["answer"] is None else f"<answer>{row['answer']}</answer>"
        given = Given(model=row["model"], sample=row.get("sample", 0), text=said, correct=bool(row["correct"]), quality=quality)
        answers[name].append(given)
    return [
        Asked(
            arena=questions[name]["arena"], split=questions[name]["split"], prompt=questions[name]["prompt"], answers=tuple(answers[name])
        )
        for name in kept
        if answers[name]
    ]


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    if path.name == "samples.parquet" and not path.exists():
        return
    columns = ["question_id", "model", "answer", "correct", *(["sample"] if path.name == "samples.parquet" else [])]
    yield from (row for row in pq.read_table(existing(path), columns=columns).to_pylist() if row["correct"] is not None)


def _kept(questions: dict[str, dict[str, Any]], count: int) -> list[str]:
    """The first ``count`` questions of each arena and split, by hash."""
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name in sorted(questions, key=lambda name: hashlib.sha256(name.encode()).digest()):
        groups[questions[name]["arena"], questions[name]["split"]].append(name)
    return [name for key in sorted(groups) for name in groups[key][:count]]


def _core(folder: Path) -> frozenset[tuple[str, str]]:
    """Models of the joined pool, each with its arena: those with an alias; of the two Phi-3 in ZeroEval, the newer."""
    table = pq.read_table(existing(folder / "models.parquet"))
    named = [row for row in table.to_pylist() if row.get("alias_core")]
    pairs = {(row["model"], arena) for row in named for arena in row["arenas"].split(",")}
    return frozenset(pairs - {("Phi-3-mini-4k-instruct", "zeroeval")})


def show_alike(asked: Sequence[Asked]) -> None:
    """Prints how many times as often two answers agree on a wrong answer as independent ones would, by arena and by who wrote them."""
    found: dict[tuple[str, str], float] = defaultdict(float)
    expected: dict[tuple[str, str], float] = defaultdict(float)
    for question in asked:
        rivals = (options_offered(question.prompt) or OPEN_ALTERNATIVES) - 1
        spoke = [(answer, answer.final) for answer in question.answers if answer.text]
        for (one, first), (other, second) in combinations(spoke, 2):
            if one.model != other.model and (one.sample or other.sample):
                continue
            key = question.arena, _relation(one.model, other.model)
            expected[key] += (1.0 - one.quality) * (1.0 - other.quality) / rivals
            found[key] += not one.correct and not other.correct and same_answer(first, second) >= AGREES_FROM
    for relation in ("same model", "same family", "other"):
        ratios = {arena: found[arena, kind] / expected[arena, kind] for arena, kind in expected if kind == relation}
        mean = (
            math.exp(sum(math.log(ratio) for ratio in ratios.values()) / len(ratios)) if ratios and min(ratios.values()) > 0 else math.nan
        )
        print(f"{relation:12} {mean:5.2f}  " + ", ".join(f"{arena} {ratio:.2f}" for arena, ratio in sorted(ratios.items())), flush=True)


def _relation(one: str, other: str) -> str:
    if one == other:
        return "same model"
    family = family_of(one)
    return "same family" if family == family_of(other) != OTHER else "other"


def drawn(asked: Sequence[Asked], split: str, pool: str, size: int, core: frozenset[tuple[str, str]] | None) -> Iterator[Judged]:
    """Of each question of ``pool`` one set of ``size`` answers of different models, drawn; the first is judged."""
    rng = np.random.default_rng(SEED)
    for question in asked:
        if question.split != split or pool not in ("core", question.arena):
            continue
        mine = [one for one in question.answers if one.sample == 0 and (pool != "core" or (core and (one.model, question.arena) in core))]
        if len(mine) >= size:
            chosen = [mine[place] for place in rng.permutation(len(mine))[:size].tolist()]
            yield from _judged(question, chosen)


def sampled(asked: Sequence[Asked]) -> Iterator[Judged]:
    """The first of three answers of one model beside the two others."""
    for question in asked:
        by_model: dict[str, list[Given]] = defaultdict(list)
        for answer in question.answers:
            by_model[answer.model].append(answer)
        for own in by_model.values():
            if question.split == "dev" and len(own) == 3:  # noqa: PLR2004 as recorded
                yield from _judged(question, sorted(own, key=lambda one: one.sample))


def _judged(question: Asked, answers: Sequence[Given]) -> Iterator[Judged]:
    """What the plain share and the judge say of the first answer; nothing where the judge abstains."""
    candidates = [
        Candidate(id=f"{place}", text=one.text, model=one.model, predicted_quality=one.quality) for place, one in enumerate(answers)
    ]
    opinion = opinion_of(Case(conversation=(Turn(Speaker.USER, question.prompt),), candidate=candidates[0], others=tuple(candidates[1:])))
    spoke = sum(bool(one.text) for one in answers[1:])
    if opinion.score is not None and spoke:
        share = len(opinion.same_answer_as) / spoke
        yield Judged(share=share, weighed=opinion.score, correct=answers[0].correct, question=question.prompt)


if __name__ == "__main__":
    main()
