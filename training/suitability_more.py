"""Further labelled answers for Φ, of models or questions that the recorded directory does not have."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from training.ridge import Floats
from training.suitability_fit import Counts
from training.tables import read_outcomes, read_questions


class Cells(Protocol):
    """Places texts in the taxonomy, as `training.heads.TaxonomyHeads` does."""

    def cells(self, texts: list[str]) -> Floats:
        """Probability of every cell ``(texts, domains, complexities)``; each text's add up to 1."""
        ...


def count_more(folder: Path, heads: Cells, counts: dict[str, Counts]) -> None:
    """Adds the labelled answers of a further directory: of its training questions, or of all when it has none.

    Its models may be new and few, so how hard a question is can't be read off them: answers are spread over the cells as the classifier
    sees their questions. Metrics leave these answers out.
    """
    questions, outcomes = read_questions(folder), read_outcomes(folder)
    chosen = [row for row in questions if row["split"] == "train"] or questions
    cells = dict(zip([row["question_id"] for row in chosen], heads.cells([row["question"] for row in chosen]), strict=True))
    columns = (outcomes[name] for name in ("question_id", "model", "correct", "completion_tokens", "reasoning_tokens_est"))
    added = 0
    for question, model, correct, completion, reasoning in zip(*columns, strict=True):
        if question in cells:
            found = counts.setdefault(model, Counts.empty(*cells[question].shape))
            found.add(cells[question], right=bool(correct), tokens=float((completion or 0) + (reasoning or 0)))
            added += 1
    print(f"{folder}: {added} labelled answers to {len(chosen)} questions", flush=True)
