"""Trains the verifier, the judge that reads answers: ``python -m training.verifier --data DIR`` writes ``artifacts/verifier``.

``--study`` publishes nothing and measures instead what each group of features is worth, and how the verifier does on models and
datasets that it was not trained on.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from pydantic import JsonValue

from servicekit.artifacts import sha256_of, write_manifest
from training.router_predictions import QUALITY_EDGE, Predictions, predict_recorded
from training.verifier_corpus import Corpus, read_corpus
from training.verifier_export import check_parity, write
from training.verifier_fit import FOLDS, HIDDEN_SHARE, SETS_PER_QUESTION, TREES, WORDS_PENALTY, Fitted, Floats, Mask, fit
from training.verifier_measure import Evidence, Figures
from training.verifier_work import Work, keep

ARTIFACT = Path(__file__).parent.parent / "artifacts" / "verifier"

FIRST = "gemini-1.5-flash-002"
CHEAP = (
    "DeepSeek-Coder-V2",
    "Meta-Llama-3.1-8B-Instruct",
    "Meta-Llama-3.1-70B-Instruct",
    "deepseek-v2-chat-0517",
    "Phi-3-mini-4k-instruct",
)
LADDERS = (
    (FIRST,),
    (FIRST, "Meta-Llama-3.1-8B-Instruct"),
    (FIRST, "DeepSeek-Coder-V2"),
    (FIRST, "deepseek-v2-chat-0517"),
    (FIRST, "Meta-Llama-3.1-70B-Instruct"),
    (FIRST, "deepseek-v2-chat-0517", "Meta-Llama-3.1-70B-Instruct"),
    (FIRST, "DeepSeek-Coder-V2", "deepseek-v2-chat-0517", "Meta-Llama-3.1-70B-Instruct"),
)
"""On MMLU-Pro: is the first model's answer right, after reading it and those that follow."""
STUDIED = {
    "without the options' plausibility": ("p_",),
    "without anything on the options": ("p_", "c_", "q_option"),
    "without words": ("w_",),
    "without the model": ("m_",),
    "without the answer's words and arithmetic": ("a_lex", "a_arith", "a_contrast"),
    "without the answer": ("a_", "f_", "w_answer", "m_length"),
    "without the router's predictions": ("quality", "agree_quality", "differ_quality", "rival_quality"),
}
LEFT_OUT_MODELS = (FIRST, "Meta-Llama-3.1-70B-Instruct")
LEFT_OUT_DATASETS = ("gsm", "crux")


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m training.verifier", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="data directory with questions.parquet and responses.parquet")
    parser.add_argument("--artifact", type=Path, default=ARTIFACT, help="folder to write")
    parser.add_argument("--answers-max", type=int, default=99, help="most answers per training question that are learned from")
    parser.add_argument("--encoder", type=Path, default=ARTIFACT.parent / "encoder", help="folder of the router's encoder")
    parser.add_argument("--cache", type=Path, default=Path(".emafusion/cache"), help="folder for embeddings, and for what later steps read")
    parser.add_argument("--processes", type=int, default=2, help="processes that read, and threads that fit")
    parser.add_argument("--study", action="store_true", help="measure what matters instead of publishing")
    chosen = parser.parse_args(arguments)
    tell = _clocked(time.monotonic)
    corpus = read_corpus(chosen.data, answers_max=chosen.answers_max, processes=chosen.processes, tell=tell)
    predicted = predict_recorded(chosen.data, ids=corpus.ids, folds=corpus.fold % FOLDS, encoder=chosen.encoder, cache=chosen.cache)
    tell("router's predictions done")
    quality = quality_of_answers(corpus, predicted)
    if chosen.study:
        study(corpus, quality, threads=chosen.processes, tell=tell)
    else:
        fitted = publish(corpus, quality, chosen.data, chosen.artifact, threads=chosen.processes, tell=tell)
        keep(chosen.cache, Work(corpus=corpus, known=fitted.known, together=fitted.together, curve=fitted.curve, predicted=predicted))


def quality_of_answers(corpus: Corpus, predicted: Predictions) -> Floats:
    """Log-odds of the predicted quality of every answer, NaN where its model is not known to the router."""
    asked = zip(corpus.question.tolist(), corpus.model.tolist(), strict=True)
    quality = np.clip([predicted.quality_of(corpus.ids[question], model) for question, model in asked], QUALITY_EDGE, 1.0 - QUALITY_EDGE)
    return np.log(quality / (1.0 - quality))


def publish(corpus: Corpus, quality: Floats, data: Path, folder: Path, *, threads: int, tell: Callable[[str], None]) -> Fitted:
    """Fits, measures, writes the artifact and checks that it says the same."""
    use = corpus.train[corpus.question]
    fitted = fit(corpus, use, quality, threads=threads, tell=tell)
    evidence = evidence_of(corpus, fitted)
    measured = measure(evidence, tell)
    files = write(folder, fitted)
    sample = np.random.default_rng(0).permutation(len(corpus.sheets))[:5_000]
    rows = fitted.alone_rows[sample]
    parity = check_parity(folder, fitted, {"choice": rows, "open": rows, "options": np.concatenate(corpus.options)[:5_000]})
    manifest = write_manifest(
        folder,
        name="verifier",
        files=files,
        created_by="training.verifier",
        command="python -m training.verifier --data DIR",
        licence="Apache-2.0",
        data={
            "recorded": "answers and labels of ZeroEval, MMLU-Pro and reasoning-gym-eval (all Apache-2.0)",
            "questions_sha256": sha256_of(data / "questions.parquet"),
            "responses_sha256": sha256_of(data / "responses.parquet"),
            "split": "learned from train, measured on dev",
            "questions": int(corpus.train.sum()),
            "answers": int(use.sum()),
        },
        metrics={"dev": measured, "parity_log_odds_apart": {name: round(apart, 6) for name, apart in parity.items()}},
        parameters={
            "folds": FOLDS,
            "hidden_share": HIDDEN_SHARE,
            "sets_per_question": SETS_PER_QUESTION,
            "words_penalty": WORDS_PENALTY,
            "trees": {name: {key: float(value) for key, value in options.items()} for name, options in TREES.items()},
        },
    )
    tell(f"{folder}: version {manifest.version}-{manifest.fingerprint}, {sum(file.bytes for file in manifest.files):,} bytes")
    return fitted


def evidence_of(corpus: Corpus, fitted: Fitted) -> Evidence:
    """What ``fitted`` says on held-out answers."""
    return Evidence(corpus, fitted)


def measure(evidence: Evidence, tell: Callable[[str], None]) -> dict[str, JsonValue]:
    """The tables of the documentation."""
    found: dict[str, JsonValue] = {}
    for ladder in LADDERS:
        _note(found, f"mmlupro: {' + '.join(ladder)}", evidence.measure("mmlupro", ladder[0], ladder[1:]), tell)
        if len(ladder) > 1:
            _note(found, f"mmlupro: best of {' + '.join(ladder)}", evidence.measure_best("mmlupro", ladder), tell)
    for model in CHEAP:
        _note(found, f"mmlupro: {model}", evidence.measure("mmlupro", model), tell)
    for pool in ("mmlupro", "zeroeval", "rgym_easy"):
        each = [entry for entry in (evidence.measure(pool, model) for model in evidence.models(pool)) if entry is not None]
        if each:
            mean = {"models": len(each), "auroc": _mean([entry.auroc for entry in each]), "ece": _mean([entry.ece for entry in each])}
            found[f"{pool}: mean over models"] = {**mean}
            tell(f"{pool}: mean over {len(each)} models: AUROC {mean['auroc']:.3f}, ECE {mean['ece']:.3f}")
    return found


def study(corpus: Corpus, quality: Floats, *, threads: int, tell: Callable[[str], None]) -> None:
    """Ablation, leave-one-model-out, and leave-one-dataset-out."""
    train = corpus.train[corpus.question]

    def silent(_: str) -> None:
        return None

    def run(name: str, use: Mask, drop: Sequence[str] = ()) -> Evidence:
        tell(f"== {name}: {int(use.sum()):,} answers")
        return evidence_of(corpus, fit(corpus, use, quality, threads=threads, tell=silent, drop=drop))

    def show(evidence: Evidence, pool: str, model: str, others: Sequence[str] = ()) -> None:
        _note({}, f"{pool}: {' + '.join((model, *others))}", evidence.measure(pool, model, others), tell)

    whole = run("everything", train)
    show(whole, "mmlupro", FIRST)
    show(whole, "mmlupro", *_split(LADDERS[-2]))
    for name, drop in STUDIED.items():
        evidence = run(name, train, drop)
        show(evidence, "mmlupro", FIRST)
        show(evidence, "mmlupro", *_split(LADDERS[-2]))
    for model in LEFT_OUT_MODELS:
        evidence = run(f"never saw {model}", train & (corpus.model != model))
        peers = [other for other in CHEAP if other != model][:2]
        for name, judge in (("never saw it", evidence), ("saw it", whole)):
            tell(name)
            show(judge, "mmlupro", model)
            show(judge, "mmlupro", model, peers)
    for dataset in LEFT_OUT_DATASETS:
        there = np.array([name == dataset for name in corpus.dataset])[corpus.question]
        evidence = run(f"never saw {dataset}", train & ~there)
        for name, judge in (("never saw it", evidence), ("saw it", whole)):
            each = [entry for entry in (judge.measure_dataset(dataset, model) for model in judge.models("zeroeval")) if entry is not None]
            auroc, ece = _mean([entry.auroc for entry in each]), _mean([entry.ece for entry in each])
            tell(f"{name}: {dataset}: mean over {len(each)} models: AUROC {auroc:.3f}, ECE {ece:.3f}")


def _split(ladder: Sequence[str]) -> tuple[str, Sequence[str]]:
    return ladder[0], ladder[1:]


def _mean(values: Sequence[float]) -> float:
    return round(float(np.mean(values)), 4)


def _note(found: dict[str, JsonValue], name: str, entry: Figures | None, tell: Callable[[str], None]) -> None:
    if entry is None:
        return
    found[name] = {**asdict(entry)}
    span = f"{entry.auroc_low:.3f}-{entry.auroc_high:.3f}"
    tell(f"{name}: n {entry.n}, right {entry.right:.3f}, AUROC {entry.auroc:.3f} ({span}), ECE {entry.ece:.3f}")


def _clocked(clock: Callable[[], float]) -> Callable[[str], None]:
    start = clock()
    return lambda text: print(f"{clock() - start:6.0f} s  {text}", flush=True)


if __name__ == "__main__":
    main()
