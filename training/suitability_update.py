"""Adds a recording of your own models to the published Φ table: ``python -m training.suitability_update --data DIR --out FOLDER``.

A model that the table knows keeps what was measured and gains the new answers; a new one gets the hierarchy of ``suitability_fit`` around
what the recorded models show. Each answer is spread over the cells as the classifier sees its question, as at run time.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow.parquet as pq
from pydantic import JsonValue

from router_service.adapters.suitability_artifact import FILE
from servicekit.artifacts import Manifest, load_manifest, sha256_of, write_manifest
from training.embeddings import EmbeddingCache
from training.heads import TaxonomyHeads
from training.suitability_fit import TOKENS_STRENGTH, Counts, Fit, Floats, fit_model
from training.suitability_table import COMPLEXITIES, DOMAINS, UNKNOWN, Record, as_table, no_counts, record_of
from training.tables import existing, read_outcomes

TOKENS_MAX: Final = 256
"""Tokens of a question that the encoder reads: the default of the router's configuration."""
RECORDINGS: Final = "recordings"
"""Where the manifest lists the recordings that a table holds, by sha256 of their answers."""
MIX: Final = "reference_mix"
_ROUNDING: Final = 1e-3


def main() -> None:
    """Counts, updates and publishes."""
    arguments = _arguments()
    manifest = load_manifest(arguments.base)
    digest = sha256_of(existing(arguments.data / "responses.parquet"))
    known: Any = manifest.data.get(RECORDINGS, [])
    if digest in known:
        raise SystemExit(f"{arguments.base} holds the answers of {arguments.data} already; counting them twice would make Φ too sure")
    heads = TaxonomyHeads(arguments.taxonomy, EmbeddingCache(arguments.cache, encoder=arguments.encoder, tokens_max=TOKENS_MAX))
    counts = count_answers(arguments.data, heads, splits=frozenset(arguments.split or ("train",)))
    if not counts:
        raise SystemExit(f"{arguments.data} has no labelled answers to questions of these splits")
    table = json.loads((arguments.base / FILE).read_text(encoding="utf-8"))
    records = updated({UNKNOWN: table["unknown"], **table["models"]}, counts, mix=_mix(manifest))
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / FILE).write_text(as_table(records), encoding="utf-8")
    _publish(arguments.out, manifest, counts, recordings=[*known, digest])
    for model, found in sorted(counts.items()):
        print(f"{model:28} {found.right.sum():6.0f} of {found.answers.sum():6.0f} right, overall Φ {_mean(records[model]):.3f}")
    print(f"published {arguments.out}; the router reads it when it starts")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.suitability_update", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the recording")
    parser.add_argument("--split", action="append", help="count the questions of this split, may be repeated (default: train)")
    parser.add_argument("--base", type=Path, default=Path("artifacts/suitability"), help="table to add to")
    parser.add_argument("--out", type=Path, required=True, help="folder of the new table")
    parser.add_argument("--encoder", type=Path, default=Path("artifacts/encoder"), help="folder of the encoder")
    parser.add_argument("--taxonomy", type=Path, default=Path("artifacts/taxonomy"), help="folder of the taxonomy heads")
    parser.add_argument("--cache", type=Path, default=Path(".emafusion/cache"), help="folder for embeddings")
    return parser.parse_args()


def count_answers(folder: Path, heads: TaxonomyHeads, *, splits: frozenset[str]) -> dict[str, Counts]:
    """Labelled answers by model and cell; each is spread over the cells as the classifier sees its question."""
    columns = ["question_id", "question", "split"]
    asked = {row["question_id"]: row for row in pq.read_table(existing(folder / "questions.parquet"), columns=columns).to_pylist()}
    chosen = [key for key, row in asked.items() if row["split"] in splits]
    if not chosen:
        return {}
    weights = dict(zip(chosen, heads.cells([asked[key]["question"] for key in chosen]), strict=True))
    outcomes = read_outcomes(folder)
    counts: dict[str, Counts] = {}
    fields = (outcomes[name] for name in ("question_id", "model", "correct", "completion_tokens", "reasoning_tokens_est"))
    for question, model, correct, completion, reasoning in zip(*fields, strict=True):
        if question in weights:
            found = counts.setdefault(model, no_counts())
            found.add(weights[question], right=bool(correct), tokens=float((completion or 0) + (reasoning or 0)))
    return counts


def updated(records: dict[str, Record], counts: dict[str, Counts], *, mix: Floats) -> dict[str, Record]:
    """``records`` with the new answers in them."""
    unknown = records[UNKNOWN]
    return records | {
        model: _more(records[model], found, mix) if model in records else _fresh(found, unknown, mix) for model, found in counts.items()
    }


def _fresh(counts: Counts, unknown: Record, mix: Floats) -> Record:
    """A model without a record. That of an unknown model says what the recorded ones achieve at each complexity."""
    alpha, beta, _, _ = _cells(unknown)
    effects = np.log(alpha[0] / beta[0])
    fit = fit_model(counts, effects, ability_prior=0.0, tokens_prior=float(unknown["overall"][3]))
    return record_of(fit, counts.answers, mix)


def _more(record: Record, counts: Counts, mix: Floats) -> Record:
    """A record with more answers: Beta beliefs take successes and failures as they come; the ability stays as uncertain as it was."""
    alpha, beta, answers, tokens = _cells(record)
    before = Fit(alpha, beta, tokens, ability=0.0, ability_variance=0.0)
    after = Fit(
        alpha + counts.right,
        beta + counts.answers - counts.right,
        (tokens * (TOKENS_STRENGTH + answers) + counts.tokens) / (TOKENS_STRENGTH + answers + counts.answers),
        ability=0.0,
        ability_variance=_ability_variance(record, before, mix),
    )
    return record_of(after, answers + counts.answers, mix)


def _ability_variance(record: Record, fit: Fit, mix: Floats) -> float:
    """What the spread of the overall rate holds beyond that of the cells (``Fit.standardised`` backwards)."""
    alpha, beta = record["overall"][:2]
    mean, cells = alpha / (alpha + beta), fit.standardised(mix)
    spread = mean * (1.0 - mean) / (alpha + beta + 1.0) - mean * (1.0 - mean) / (sum(cells) + 1.0)
    slope = float((mix * fit.mean * (1.0 - fit.mean)).sum())
    return max(0.0, spread) / slope**2


def _cells(record: Record) -> tuple[Floats, Floats, Floats, Floats]:
    """α, β, answers and tokens, each ``(domains, complexities)``."""
    rows = np.array([[record["cells"][f"{domain}/{complexity}"] for complexity in COMPLEXITIES] for domain in DOMAINS], dtype=np.float64)
    return rows[..., 0], rows[..., 1], rows[..., 2], rows[..., 3]


def _mean(record: Record) -> float:
    alpha, beta = record["overall"][:2]
    return float(alpha / (alpha + beta))


def _mix(manifest: Manifest) -> Floats:
    """The category mix over which the table's overall rates are taken."""
    mix = np.array(manifest.parameters.get(MIX, []), dtype=np.float64)
    if mix.shape != (len(DOMAINS), len(COMPLEXITIES)) or abs(mix.sum() - 1.0) > _ROUNDING:
        raise SystemExit(f"the manifest of the base table has no `{MIX}` of {len(DOMAINS)} domains and {len(COMPLEXITIES)} complexities")
    return mix / mix.sum()


def _publish(folder: Path, base: Manifest, counts: dict[str, Counts], *, recordings: list[JsonValue]) -> None:
    added: dict[str, JsonValue] = {model: round(float(found.answers.sum())) for model, found in sorted(counts.items())}
    write_manifest(
        folder,
        name="suitability",
        files=(FILE,),
        created_by="training.suitability_update",
        command="python -m training.suitability_update --data DIR --out FOLDER",
        licence=base.licence,
        data={**base.data, "base": base.fingerprint, "answers_added": added, RECORDINGS: recordings},
        metrics=base.metrics,
        parameters=base.parameters,
    )


if __name__ == "__main__":
    main()
