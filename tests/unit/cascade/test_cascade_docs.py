"""The documentation leaves nothing out."""

from __future__ import annotations

from pathlib import Path

import pytest

from cascade_service.domain import errors
from cascade_service.domain.events import Ceiling, EscalationReason

PAGE = (Path(__file__).parents[3] / "docs" / "cascade.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("member", [*EscalationReason, *Ceiling], ids=lambda member: member.name)
def test_every_reason_and_ceiling_has_a_row(member: EscalationReason | Ceiling) -> None:
    assert f"| `{member.name}` |" in PAGE


def test_every_error_of_the_domain_has_a_row() -> None:
    reasons = {kind.reason for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.CascadeError)}
    assert [reason for reason in sorted(reasons - {"INTERNAL"}) if f"| `{reason}` |" not in PAGE] == []
