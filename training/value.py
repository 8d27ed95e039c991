"""Trains the value policy's gain model: ``python -m training.value --data DIR`` writes ``artifacts/value``.

It builds on what ``python -m training.verifier`` keeps in its cache folder. Pools of recorded models are drawn by chance, and worths of a
right answer from next to nothing to a hundred times the best model's price, so that one gain model serves any set of models and any
setting of the dial: it sees predicted qualities, prices and beliefs, and no names.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import lightgbm as lgb
import numpy as np
import onnx
import pyarrow.parquet as pq
from onnxmltools import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType
from pydantic import JsonValue

from cascade_service.adapters.onnx_gain import GRAPH_NAME, INPUT, OUTPUT, open_gain_model
from cascade_service.domain.gain import GAIN_FEATURES, Rows
from servicekit.artifacts import load_manifest, sha256_of, write_manifest
from training.tables import existing
from training.value_fit import ROUNDS, TREES, Lessons, fit, follow, lessons_of
from training.value_states import PLAN_MODELS, Answered, Belief, Episodes, make_episodes
from training.verifier_export import single_precision
from training.verifier_sets import Places, answers_by_question
from training.verifier_work import Work, read_work

ARTIFACT: Final = Path(__file__).parent.parent / "artifacts" / "value"
PRICES: Final = (0.005, 0.01, 0.02, 0.04, 0.07, 0.12, 0.2, 0.4)
"""Prices of the best model of a pool, in right answers."""
POOLS_PER_ARENA: Final = 12
POOL_MODELS: Final = (6, 14)
"""Least and most models of a drawn pool."""
QUESTIONS_PER_POOL: Final = 1_500
PARITY_MAX: Final = 1e-4
SEED: Final = 0


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m training.value", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="data directory with responses.parquet and models.parquet")
    parser.add_argument("--cache", type=Path, default=Path(".emafusion/cache"), help="folder with what training.verifier kept")
    parser.add_argument("--artifact", type=Path, default=ARTIFACT, help="folder to write")
    parser.add_argument("--verifier", type=Path, default=ARTIFACT.parent / "verifier", help="folder of the verifier")
    parser.add_argument("--threads", type=int, default=2, help="threads that fit")
    chosen = parser.parse_args(arguments)
    started = time.monotonic()

    def tell(text: str) -> None:
        print(f"{time.monotonic() - started:6.0f} s  {text}", flush=True)

    work = read_work(chosen.cache)
    answered = read_answered(chosen.data, work)
    tell("read what is known of the answers")
    belief = Belief(work)
    booster = fit(list(_lessons(work, answered, belief, tell)), threads=chosen.threads)
    tell("gain model fitted")
    publish(chosen.artifact, booster, measure(work, answered, belief, booster, tell), data=chosen.data, verifier=chosen.verifier)
    tell(f"{chosen.artifact} written")


def read_answered(folder: Path, work: Work) -> Answered:
    """Costs, predicted costs and qualities of all answers of the corpus."""
    corpus = work.corpus
    facts = {row["model"]: row for row in pq.read_table(existing(folder / "models.parquet")).to_pylist()}
    columns = ["question_id", "model", "cost_usd", "prompt_tokens"]
    paid: dict[tuple[str, str], tuple[float, float]] = {}
    for batch in pq.ParquetFile(existing(folder / "responses.parquet")).iter_batches(columns=columns):
        for row in batch.to_pylist():
            paid[row["question_id"], row["model"]] = float(row["cost_usd"] or 0.0) * 1e9, float(row["prompt_tokens"] or 1)
    keys = [(corpus.ids[question], str(model)) for question, model in zip(corpus.question.tolist(), corpus.model.tolist(), strict=True)]
    predicted = [
        _predicted_cost(facts[model], paid[question, model][1], work.predicted.tokens_of(question, model)) for question, model in keys
    ]
    return Answered(
        cost=np.array([paid[key][0] for key in keys]),
        predicted_cost=np.array(predicted),
        quality=1.0 / (1.0 + np.exp(-work.known.quality)),
    )


def _predicted_cost(facts: dict[str, Any], tokens_in: float, tokens_out: float) -> float:
    """In nano-USD: list prices are per million tokens."""
    return 1e3 * (tokens_in * float(facts["input_usd_per_m"]) + tokens_out * float(facts["output_usd_per_m"]))


def _lessons(work: Work, answered: Answered, belief: Belief, tell: Callable[[str], None]) -> Iterator[Lessons]:
    rng = np.random.default_rng(SEED)
    for arena in sorted(set(work.corpus.pool)):
        for number in range(POOLS_PER_ARENA):
            models = drawn_pool(work, answered, arena, rng)
            pool = pool_of(work, arena, models, train=True)
            pool = pool[rng.permutation(len(pool))[:QUESTIONS_PER_POOL]]
            for price in PRICES:
                yield lessons_of(episodes_at(work, answered, pool, price), belief, rng)
            tell(f"{arena}: pool {number + 1} of {POOLS_PER_ARENA}, {len(models)} models, {len(pool):,} questions")


def drawn_pool(work: Work, answered: Answered, arena: str, rng: np.random.Generator) -> list[str]:
    """Models of the arena that answered most of its questions and that the router knows, some of them by lot."""
    corpus = work.corpus
    there = np.array([pool == arena for pool in corpus.pool])
    mine = there[corpus.question] & corpus.train[corpus.question] & ~np.isnan(answered.quality)
    names, counts = np.unique(corpus.model[mine], return_counts=True)
    usual = names[counts >= 0.9 * counts.max()]
    size = min(int(rng.integers(POOL_MODELS[0], POOL_MODELS[1] + 1)), len(usual))
    return sorted(str(name) for name in rng.permutation(usual)[:size])


def pool_of(work: Work, arena: str, models: Sequence[str], *, train: bool) -> Places:
    """Answers of ``models`` to the questions of an arena that all of them answered ``(questions, models)``."""
    corpus = work.corpus
    rows: list[list[int]] = []
    for question, own in enumerate(answers_by_question(corpus)):
        if corpus.pool[question] == arena and bool(corpus.train[question]) is train:
            by_model = {str(corpus.model[index]): int(index) for index in own}
            if all(model in by_model for model in models):
                rows.append([by_model[model] for model in models])
    return np.array(rows, dtype=np.int64)


def episodes_at(work: Work, answered: Answered, pool: Places, price: float) -> Episodes:
    """The questions of ``pool`` when the best model's answer costs ``price`` right answers."""
    best = int(answered.quality[pool].mean(axis=0).argmax())
    worth = float(answered.predicted_cost[pool[:, best]].mean()) / price
    return make_episodes(work, answered, pool, np.full(len(pool), worth))


def measure(work: Work, answered: Answered, belief: Belief, booster: lgb.Booster, tell: Callable[[str], None]) -> dict[str, JsonValue]:
    """Accuracy, cost relative to the best model, and attempts on dev, with all usual models of each arena."""
    found: dict[str, JsonValue] = {}
    rng = np.random.default_rng(SEED)
    for arena in sorted(set(work.corpus.pool)):
        models = drawn_pool(work, answered, arena, rng)
        pool = pool_of(work, arena, models, train=False)
        if not len(pool):
            continue
        right = work.corpus.correct[pool].mean(axis=0)
        best = int(answered.quality[pool].mean(axis=0).argmax())
        for price in PRICES[::2]:
            episodes = episodes_at(work, answered, pool, price)
            asked, end = follow(episodes, belief, booster)
            scale = price / answered.predicted_cost[pool[:, best]].mean()
            entry: dict[str, JsonValue] = {
                "questions": len(pool),
                "models": len(models),
                "accuracy": round(float(end.right.mean()), 4),
                "best_model": round(float(right[best]), 4),
                "cost_ratio": round(float((episodes.cost * asked).sum(axis=1).mean() / (answered.cost[pool[:, best]].mean() * scale)), 4),
                "attempts": round(float(asked.sum(axis=1).mean()), 2),
            }
            found[f"{arena}, best model costs {price:g}"] = entry
            tell(f"{arena}, best model costs {price:g}: {entry}")
    return found


def publish(folder: Path, booster: lgb.Booster, metrics: dict[str, JsonValue], *, data: Path, verifier: Path) -> None:
    """Writes the graph and its manifest, and proves that it says what was fitted."""
    folder.mkdir(parents=True, exist_ok=True)
    shape = FloatTensorType([None, len(GAIN_FEATURES)])
    model: Any = convert_lightgbm(single_precision(booster), initial_types=[(INPUT, shape)], target_opset=15)
    model.graph.output[0].name = OUTPUT
    for node in model.graph.node:
        node.output[:] = [OUTPUT if name == "variable" else name for name in node.output]
    onnx.save(model, str(folder / GRAPH_NAME))
    write_manifest(
        folder,
        name="value",
        files=[GRAPH_NAME],
        created_by="training.value",
        command="python -m training.value --data DIR",
        licence="Apache-2.0",
        data={
            "recorded": "answers and labels of ZeroEval, MMLU-Pro and reasoning-gym-eval (all Apache-2.0)",
            "responses_sha256": sha256_of(data / "responses.parquet"),
            "split": "learned from train, measured on dev",
            "verifier": load_manifest(verifier).fingerprint,
        },
        metrics=metrics,
        parameters={
            "features": list(GAIN_FEATURES),
            "rounds": ROUNDS,
            "plan_models": PLAN_MODELS,
            "prices": list(PRICES),
            "trees": {key: value for key, value in TREES.items() if isinstance(value, (int, float, str))},
        },
    )
    rows = _some_rows()
    apart = float(np.max(np.abs(open_gain_model(folder).net_gain(rows) - np.asarray(booster.predict(rows)))))
    if apart > PARITY_MAX:
        raise SystemExit(f"{folder / GRAPH_NAME} differs from what was fitted by {apart:.6f}")


def _some_rows() -> Rows:
    return np.random.default_rng(SEED).random((500, len(GAIN_FEATURES))).astype(np.float32)


if __name__ == "__main__":
    main()
