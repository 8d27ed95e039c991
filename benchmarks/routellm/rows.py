"""Rows of the report: each method's curve on each table, with the labels that it used."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.routellm.features import Seen
from benchmarks.routellm.gain import Rows, predict
from benchmarks.routellm.metric import Curve, Floats, apgr_interval, curve
from benchmarks.routellm.tables import Table
from benchmarks.routellm.zero import by_chance, by_length

FOLDS = 10
LABELS = (300, 1_500)
DRAWS_SEED = 7
TRAIN = "train"
EVERY = "all"
NONE, SAME, OTHER = "none", "same table, out of fold", "other questions of the same test"

READ = ", weak answer read"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One method on one part of one table. Shares and accuracies are 0.0 to 1.0; the interval of APGR covers 95 %.

    ``labels`` counts the labelled questions of the pair that were learned from (the mean over folds), ``label_source`` says which.
    ``weak_always_paid``: the method reads the weak model's answer, so each strong call comes on top of a weak one.
    """

    table: str
    split: str
    n: int
    method: str
    labels: int
    label_source: str
    weak_always_paid: bool
    apgr: float
    apgr_low: float
    apgr_high: float
    cpt50: float
    cpt80: float
    weak_accuracy: float
    strong_accuracy: float
    curve: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Bench:
    """A table, what is seen of it, and scores of models that the committed learned router knows."""

    table: Table
    seen: Seen
    zero: dict[str, Floats]


def all_rows(bench: Bench) -> Iterator[Row]:
    """Every method on every part: whole table out of fold, and each other split learned from `train`."""
    everything = np.arange(len(bench.table.strong))
    yield from _zero_rows(bench, everything, EVERY)
    for labels in (*(count for count in LABELS if count < _fold_labels(bench.table)), None):
        yield from _crossed(bench, labels)
    train = np.flatnonzero(bench.table.splits == TRAIN)
    for split in sorted(set(bench.table.splits.tolist()) - {TRAIN}):
        rows = np.flatnonzero(bench.table.splits == split)
        yield from _zero_rows(bench, rows, split)
        if len(train):
            unseen = train[~np.isin(bench.table.keys[train], bench.table.keys[rows])]
            yield from _held_out(bench, unseen, rows, split)


def transfer_rows(bench: Bench, fitted: int) -> Iterator[Row]:
    """Learned from the first ``fitted`` questions, measured on those after them that are not among the first."""
    keys = bench.table.keys
    rows = np.arange(fitted, len(keys))
    rows = rows[~np.isin(keys[rows], keys[:fitted])]
    if not len(rows):
        raise SystemExit(f"table {bench.table.name}: every question of --data stands in --fit-on too, nothing is left to measure on")
    yield from _held_out(bench, np.arange(fitted), rows, "not in --fit-on")


def _zero_rows(bench: Bench, rows: Rows, split: str) -> Iterator[Row]:
    scores: dict[str, tuple[Floats, bool]] = {
        "chance": (by_chance(bench.seen), False),
        "length of the prompt": (by_length(bench.seen), False),
        **{name: (values, False) for name, values in bench.zero.items()},
    }
    if bench.seen.doubt is not None:
        scores["verifier on the weak answer"] = (bench.seen.doubt, True)
    for method, (values, paid) in scores.items():
        yield _row(bench.table, rows, values[rows], method=method, split=split, labels=0, source=NONE, paid=paid)


def _held_out(bench: Bench, train: Rows, rows: Rows, split: str) -> Iterator[Row]:
    started = time.monotonic()
    for answers in _readings(bench):
        for method, scores in predict(bench.table, bench.seen, answers=answers, train=train, test=rows).items():
            name = method + READ * answers
            yield _row(bench.table, rows, scores, method=name, split=split, labels=len(train), source=OTHER, paid=answers)
    _tell(bench, f"{split} learned from {len(train)} others", started)


def _crossed(bench: Bench, labels: int | None) -> Iterator[Row]:
    started = time.monotonic()
    used = labels or _fold_labels(bench.table)
    rows = np.arange(len(bench.table.strong))
    for answers in _readings(bench):
        for method, scores in out_of_fold(bench, labels, answers=answers).items():
            name = method + READ * answers
            yield _row(bench.table, rows, scores, method=name, split=EVERY, labels=used, source=SAME, paid=answers)
    _tell(bench, f"out of fold with {used} labels", started)


def out_of_fold(bench: Bench, labels: int | None, *, answers: bool) -> dict[str, Floats]:
    """By learner, a score for each question from fits that saw neither it nor its duplicates; ``labels`` bounds what each fit sees."""
    folds = folds_of(bench.table)
    scores: dict[str, Floats] = {}
    draw = np.random.default_rng(DRAWS_SEED)
    for fold in np.unique(folds):
        train, test = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        if labels is not None:
            train = np.sort(draw.choice(train, labels, replace=False))
        for method, found in predict(bench.table, bench.seen, answers=answers, train=train, test=test).items():
            scores.setdefault(method, np.zeros(len(folds)))[test] = found
    return scores


def folds_of(table: Table) -> Rows:
    """The fold of each question; equal questions share one."""
    return table.keys % FOLDS


def _fold_labels(table: Table) -> int:
    return round(len(table.strong) * (FOLDS - 1) / FOLDS)


def _readings(bench: Bench) -> tuple[bool, ...]:
    return (False,) if bench.seen.answer is None else (False, True)


def _tell(bench: Bench, what: str, started: float) -> None:
    print(f"  {bench.table.name}, {what}: {time.monotonic() - started:.0f} s", flush=True)


def _row(table: Table, rows: Rows, scores: Floats, *, method: str, split: str, labels: int, source: str, paid: bool) -> Row:
    strong, weak = table.strong[rows], table.weak[rows]
    found: Curve = curve(scores, strong, weak)
    low, high = apgr_interval(scores, strong, weak)
    return Row(
        table=table.name,
        split=split,
        n=len(rows),
        method=method,
        labels=labels,
        label_source=source,
        weak_always_paid=paid,
        apgr=found.apgr,
        apgr_low=low,
        apgr_high=high,
        cpt50=found.cpt(0.5),
        cpt80=found.cpt(0.8),
        weak_accuracy=found.weak,
        strong_accuracy=found.strong,
        curve=tuple(zip(found.shares.tolist(), found.accuracies.tolist(), strict=True)),
    )
