"""The policies that a request can be answered under."""

from __future__ import annotations

from cascade_service.domain.acceptance import ThresholdPolicy
from cascade_service.domain.value import ValuePolicy

Policy = ThresholdPolicy | ValuePolicy
