"""The configuration as it may be shown: secrets appear as the places where they are kept."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, Final, cast

from servicekit.settings.base import SecretRef
from servicekit.settings.root import Settings

_SECRET_KEY: Final = re.compile(r"key|token|secret|password|auth", re.IGNORECASE)
_URL_USER: Final = re.compile(r"(?P<before>://[^/@:\s]*):[^/@\s]*@")
_URL_QUERY: Final = re.compile(r"(?P<before>[?&][^=&#\s]*(?:key|token|secret|password|auth)[^=&#\s]*=)[^&#\s]*", re.IGNORECASE)


def masked(settings: Settings) -> dict[str, Any]:
    """All settings, defaults included, as plain data for `config show`. Passwords inside URLs show as `***`."""
    shown = settings.model_dump()
    for model, entry in zip(settings.models, shown["models"], strict=True):
        entry["api_key"] = _place(model.api_key)
        body: dict[str, Any] = entry["extra_body"]
        entry["extra_body"] = {key: "***" if _SECRET_KEY.search(key) else value for key, value in body.items()}
    return cast("dict[str, Any]", _plain(shown))


def mask_url(text: str) -> str:
    """The text with passwords and keys inside URLs replaced by `***`."""
    return _URL_QUERY.sub(r"\g<before>***", _URL_USER.sub(r"\g<before>:***@", text))


def _place(ref: SecretRef | None) -> str | None:
    if ref is None:
        return None
    return f"environment variable {ref.env}" if ref.env is not None else f"file {ref.file}"


def _plain(value: object) -> object:
    match value:
        case str():
            return mask_url(value)
        case dict():
            return {key: _plain(entry) for key, entry in cast("dict[str, object]", value).items()}
        case datetime():
            return value.isoformat()
        case frozenset():
            return sorted(cast("frozenset[str]", value))
        case list() | tuple():
            return [_plain(entry) for entry in cast("list[object]", value)]
        case _:
            return value
