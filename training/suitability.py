"""Publishes Φ(model, category): ``python -m training.suitability --data DIR``.

Counts which recorded model was right on which training question, adds the labelled answers of the local models, and writes one Beta
posterior per model and cell (domain × reasoning complexity).
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from servicekit.artifacts import load_manifest, write_manifest
from training.embeddings import EmbeddingCache
from training.heads import TaxonomyHeads
from training.suitability_check import evaluate
from training.suitability_fit import (
    ABILITY_STDDEV,
    CELL_STRENGTH,
    UNMEASURED_STRENGTH,
    Counts,
    Fit,
    Floats,
    ability_for,
    complexity_effects,
    fit_model,
)
from training.suitability_table import COMPLEXITIES, DOMAINS, UNKNOWN, as_table, no_counts, record_of
from training.tables import read_outcomes, read_questions
from training.taxonomy import EVERYDAY_SHARE, TOKENS_MAX, shares_right
from training.taxonomy_labels import complexity as complexity_of
from training.taxonomy_labels import domain as domain_of

LOCAL_PRIOR_LOW = {"smollm2-135m": 0.30, "qwen2.5-coder-0.5b": 0.55, "qwen2.5-coder-1.5b": 0.70}
"""Prior success rates of the local models on requests of low complexity, from five trial questions each (2, 4 and 5 right, shrunk to
one half). They only fix where the ability prior is centred; recorded local answers override them."""
EVERYDAY_DOMAINS = ("general", "language", "science", "math", "computing", "humanities")
"""Everyday requests in the reference mix: low complexity, spread evenly over these domains."""


@dataclass(frozen=True, slots=True)
class Cells:
    """The true cell of every question of a split, and its text."""

    index: dict[str, tuple[int, int]]
    text: dict[str, str]


def main() -> None:
    """Counts, fits, measures and publishes."""
    arguments = _arguments()
    started = time.monotonic()
    questions, outcomes = read_questions(arguments.data), read_outcomes(arguments.data)
    shares = shares_right(outcomes)
    train, dev = (_cells(questions, shares, split) for split in ("train", "dev"))
    heads = TaxonomyHeads(arguments.taxonomy, EmbeddingCache(arguments.cache, encoder=arguments.encoder, tokens_max=TOKENS_MAX))
    counts = count_recorded(outcomes, train)
    local = read_local_answers(arguments.local_answers)
    effects = complexity_effects(list(counts.values()))
    local_counts = count_local(local, heads)
    fits = fit_all(counts, local_counts, effects)
    metrics = evaluate(outcomes, dev.index, cells_of=heads.cells([dev.text[key] for key in dev.index]), fits=fits)
    print(json.dumps(metrics, indent=1), flush=True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    mix = reference_mix(train)
    answers = {name: found.answers for name, found in (counts | local_counts).items()}
    table = as_table({name: record_of(fit, answers.get(name, no_counts().answers), mix) for name, fit in fits.items()})
    (arguments.out / "suitability.json").write_text(table, encoding="utf-8")
    taxonomy = load_manifest(arguments.taxonomy).fingerprint
    _publish(arguments.out, metrics, local, taxonomy=taxonomy, mix=mix, seconds=time.monotonic() - started)
    print(f"published {arguments.out}: {len(fits) - 1} models, {len(local)} local answers, in {time.monotonic() - started:.0f} s")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.suitability", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="data directory")
    parser.add_argument("--local-answers", type=Path, default=Path("training/local_answers.jsonl"), help="labelled answers of local models")
    parser.add_argument("--encoder", type=Path, default=Path("artifacts/encoder"), help="folder of the encoder")
    parser.add_argument("--taxonomy", type=Path, default=Path("artifacts/taxonomy"), help="folder of the taxonomy heads")
    parser.add_argument("--out", type=Path, default=Path("artifacts/suitability"), help="folder of the artifact")
    parser.add_argument("--cache", type=Path, default=Path(".emafusion/cache"), help="folder for embeddings")
    return parser.parse_args()


def _cells(questions: list[dict[str, Any]], shares: dict[str, float], split: str) -> Cells:
    rows = [row for row in questions if row["split"] == split and row["question_id"] in shares]
    index = {
        row["question_id"]: (DOMAINS.index(domain_of(row)), COMPLEXITIES.index(complexity_of(shares[row["question_id"]]))) for row in rows
    }
    return Cells(index, {row["question_id"]: row["question"] for row in rows})


def count_recorded(outcomes: dict[str, list[Any]], train: Cells) -> dict[str, Counts]:
    """Counts by recorded model over the training questions, each in its true cell."""
    counts: dict[str, Counts] = defaultdict(no_counts)
    columns = (outcomes[name] for name in ("question_id", "model", "correct", "completion_tokens", "reasoning_tokens_est"))
    for question, model, correct, completion, reasoning in zip(*columns, strict=True):
        if question in train.index:
            cell = train.index[question]
            counts[model].answers[cell] += 1.0
            counts[model].right[cell] += float(bool(correct))
            counts[model].tokens[cell] += (completion or 0) + (reasoning or 0)
    return dict(counts)


def read_local_answers(path: Path) -> list[dict[str, Any]]:
    """Labelled answers of the local models: JSON lines with question, model, correct, output_tokens. Empty when there is no file."""
    if not path.exists():
        print(f"{path} is missing: the local models keep their weak prior")
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def count_local(answers: list[dict[str, Any]], heads: TaxonomyHeads) -> dict[str, Counts]:
    """Counts by local model; each answer is spread over the cells as the classifier sees its question, as at run time."""
    counts = {model: no_counts() for model in LOCAL_PRIOR_LOW}
    if answers:
        weights = heads.cells([answer["question"] for answer in answers])
        for answer, weight in zip(answers, weights, strict=True):
            if (found := counts.get(answer["model"])) is not None:
                found.add(weight, right=bool(answer["correct"]), tokens=float(answer["output_tokens"]))
    return counts


def fit_all(recorded: dict[str, Counts], local: dict[str, Counts], effects: Floats) -> dict[str, Fit]:
    """Φ of every model, and under `unknown` that of any other one."""
    low = float(effects[COMPLEXITIES.index("low")])
    tokens = float(np.mean([counts.tokens.sum() / counts.answers.sum() for counts in recorded.values() if counts.answers.sum() > 0]))
    fits = {model: fit_model(counts, effects, ability_prior=0.0, tokens_prior=tokens) for model, counts in recorded.items()}
    for model, counts in local.items():
        fits[model] = fit_model(counts, effects, ability_prior=ability_for(LOCAL_PRIOR_LOW[model], low), tokens_prior=tokens)
    fits[UNKNOWN] = fit_model(no_counts(), effects, ability_prior=0.0, tokens_prior=tokens)
    return fits


def reference_mix(train: Cells) -> Floats:
    """The category mix over which overall rates are taken: the recorded questions, and everyday requests of low complexity."""
    recorded, everyday = np.zeros((len(DOMAINS), len(COMPLEXITIES))), np.zeros((len(DOMAINS), len(COMPLEXITIES)))
    for cell in train.index.values():
        recorded[cell] += 1.0
    for name in EVERYDAY_DOMAINS:
        everyday[DOMAINS.index(name), COMPLEXITIES.index("low")] += 1.0
    return (1.0 - EVERYDAY_SHARE) * recorded / recorded.sum() + EVERYDAY_SHARE * everyday / everyday.sum()


def _publish(folder: Path, metrics: dict[str, Any], local: list[dict[str, Any]], *, taxonomy: str, mix: Floats, seconds: float) -> None:
    write_manifest(
        folder,
        name="suitability",
        files=("suitability.json",),
        created_by="training.suitability",
        command="python -m training.suitability --data DIR",
        licence="Apache-2.0",
        data={
            "recorded": "correctness labels of ZeroEval, MMLU-Pro and reasoning-gym-eval (all Apache-2.0), training questions only",
            "local_answers": len(local),
            "local_answers_source": "training/local_answers.jsonl: our own short questions, answered by the local models, labelled by rule",
        },
        metrics={**metrics, "seconds": round(seconds)},
        parameters={
            "domains": list(DOMAINS),
            "complexities": list(COMPLEXITIES),
            "ability_stddev": ABILITY_STDDEV,
            "cell_strength": CELL_STRENGTH,
            "unmeasured_strength": UNMEASURED_STRENGTH,
            "local_prior_low_complexity": dict(LOCAL_PRIOR_LOW),
            "everyday_share_of_reference_mix": EVERYDAY_SHARE,
            "reference_mix": [[round(float(share), 6) for share in row] for row in mix],
            "taxonomy_fingerprint": taxonomy,
        },
    )


if __name__ == "__main__":
    main()
