"""What every section of the configuration has in common: frozen, and without unknown keys."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

Probability = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Name = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]*$")]
PositiveMs = Annotated[int, Field(ge=1, le=86_400_000)]


class Section(BaseModel):
    """A section of the configuration. Frozen; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, hide_input_in_errors=True)


class SecretRef(Section):
    """Where a secret is kept. The secret itself never stands in the configuration."""

    env: str | None = Field(default=None, min_length=1)
    """Name of the environment variable that holds the secret."""
    file: str | None = Field(default=None, min_length=1)
    """Path of a file whose first line is the secret."""

    @model_validator(mode="after")
    def _exactly_one(self) -> SecretRef:
        if (self.env is None) == (self.file is None):
            raise ValueError("exactly one of `env` and `file` must be set")
        return self
