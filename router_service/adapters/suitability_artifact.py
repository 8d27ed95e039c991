"""Reads the suitability table that training publishes."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from router_service.domain.errors import ArtifactMismatch
from router_service.domain.suitability import BetaBelief, CellRecord, ModelRecord, SuitabilityTable

FILE = "suitability.json"
Figures = tuple[float, float, int, float]
"""α, β, answers, mean output tokens."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    overall: Figures
    cells: dict[str, Figures]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    unknown: _Model
    models: dict[str, _Model]


def read_suitability(folder: Path) -> SuitabilityTable:
    """The table in ``folder``; blocks. Raises ``ArtifactMismatch`` when it can't be understood."""
    path = folder / FILE
    try:
        table = _Table.model_validate_json(path.read_bytes())
        return SuitabilityTable({name: _record(model) for name, model in table.models.items()}, _record(table.unknown))
    except (ValidationError, ValueError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise ArtifactMismatch(
            f"{path} can't be read ({reason}); make it again with `python -m training.suitability --data DIR`"
        ) from error


def _record(model: _Model) -> ModelRecord:
    cells = {
        (domain, complexity): _cell(figures) for key, figures in model.cells.items() for domain, _, complexity in (key.partition("/"),)
    }
    return ModelRecord(_cell(model.overall), cells)


def _cell(figures: Figures) -> CellRecord:
    alpha, beta, observations, output_tokens = figures
    return CellRecord(BetaBelief(alpha, beta), observations, output_tokens)
