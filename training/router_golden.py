"""Writes the golden scores of the router: ``python -m training.router_golden``.

To be run when artifacts were trained anew and the changes in `git diff tests/golden/router` are what was intended.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from router_service.adapters.onnx_encoder import open_encoder
from router_service.adapters.onnx_heads import open_heads
from router_service.adapters.suitability_artifact import read_suitability
from router_service.domain.suitability import category_weights
from router_service.domain.taxonomy import Axis, ClearRule, assess
from servicekit.artifacts import load_manifest

GOLDEN = Path("tests/golden/router/scores.json")
TOKENS_MAX = 256
FINGERPRINT_DIMENSIONS = 12
DIGITS = 5
MODELS = ("gpt-4o-2024-05-13", "Meta-Llama-3-8B-Instruct", "smollm2-135m", "qwen2.5-coder-1.5b", "never-measured")
RULE = ClearRule((Axis.DOMAIN, Axis.REASONING_COMPLEXITY), 0.5)
PROMPTS = (
    "What is the capital of France?",
    "Hello, how are you?",
    "Write a Python function that reverses a string.",
    "What is 17 * 23?",
    "Translate into German: I would like a coffee, please.",
    "Write a haiku about the sea.",
    "Prove that there are infinitely many primes.",
    "A farmer has 12 sheep and buys 5 more, then sells half of them. How many are left?",
    "Which amendment to the US constitution protects against self-incrimination?",
    "What are the first-line drugs for hypertension in pregnancy?",
    "Explain opportunity cost.",
    "What does this Python code print?\n\nprint([x * x for x in range(4)])",
    "Solve this sudoku:\n5 3 _ _ 7 _ _ _ _\n6 _ _ 1 9 5 _ _ _\n_ 9 8 _ _ _ _ 6 _",
    "Summarise in one sentence: The council met on Tuesday to discuss the new bus line and asked for more stops.",
    "A beam of length 4 m is simply supported and carries 2 kN/m. What is the maximum bending moment?",
    "Which planet is closest to the Sun?\n(A) Venus\n(B) Mars\n(C) Mercury\n(D) Earth\nAnswer with the letter only.",
    "Extract name and date as JSON: Maria Lopez was born on 4 May 1990.",
    "What did Kant mean by the categorical imperative?",
    "¿Dónde está la estación de tren más cercana?",
    "word " * 600 + "What is the last word of this text?",
)


def main() -> None:
    """Scores all prompts and writes them."""
    rows = asyncio.run(score(Path("artifacts")))
    GOLDEN.write_text("[\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n]\n", encoding="utf-8")
    print(f"wrote {len(rows)} prompts to {GOLDEN}")


async def score(artifacts: Path) -> list[dict[str, Any]]:
    """Embedding fingerprint, label probabilities and Φ for every prompt, with the artifacts below ``artifacts``."""
    encoder = open_encoder(artifacts / "encoder", tokens_max=TOKENS_MAX, threads=1)
    heads = open_heads(artifacts / "taxonomy", load_manifest(artifacts / "taxonomy"))
    table = read_suitability(artifacts / "suitability")
    rows: list[dict[str, Any]] = []
    for prompt, encoded in zip(PROMPTS, encoder.encode([(prompt,) for prompt in PROMPTS]), strict=True):
        taxonomy = assess(await heads.classify(encoded.vector), slow=None, slow_weight=0.0, rule=RULE)
        weights = category_weights(taxonomy)
        rows.append(
            {
                "prompt": prompt,
                "input_tokens": encoded.input_tokens,
                "embedding": [round(float(x), DIGITS) for x in encoded.vector[:FINGERPRINT_DIMENSIONS]],
                "labels": {found.axis.value: found.best.label for found in taxonomy.axes},
                "probabilities": {
                    found.axis.value: {entry.label: round(entry.probability, DIGITS) for entry in found.labels} for found in taxonomy.axes
                },
                "clear": taxonomy.clear,
                "suitability": {model: round(table.for_category(model, weights).mean, DIGITS) for model in MODELS},
            }
        )
    return rows


if __name__ == "__main__":
    main()
