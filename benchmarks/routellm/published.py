"""Rows that RouteLLM's authors published, for comparison: figures only.

Source: I. Ong et al., "RouteLLM: Learning to Route LLMs with Preference Data", arXiv 2406.18665, tables for MMLU and GSM8K,
GPT-4-1106 against Mixtral-8x7B: the best row of each by APGR. They stand for all questions of a test that are not contaminated, of which a
directory may hold a part.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """``apgr`` 0.0 to 1.0, ``cpt50`` a share of strong calls; ``labels`` says in words what the router learned from."""

    table: str
    method: str
    apgr: float
    cpt50: float | None
    labels: str


PUBLISHED = (
    Published(
        table="mmlu",
        method="RouteLLM, similarity-weighted ranking, augmented",
        apgr=0.603,
        cpt50=0.354,
        labels="about 65,000 arena preferences and 1,500 labelled questions of MMLU's validation split",
    ),
    Published(
        table="gsm8k",
        method="RouteLLM, causal LLM (8B), augmented",
        apgr=0.622,
        cpt50=0.336,
        labels="about 65,000 arena preferences and 120,000 comparisons judged by GPT-4",
    ),
)
