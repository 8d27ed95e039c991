"""Loads the configuration: one YAML file, overridden by environment variables, checked as a whole, paths made absolute."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from servicekit.settings.base import Section
from servicekit.settings.environment import PREFIX, apply_overrides
from servicekit.settings.root import Settings
from servicekit.settings.schema import Problem, SectionNode, dotted, unknown_keys
from servicekit.settings.secrets import SecretSource

CONFIG_VARIABLE: Final = "EMAFUSION_CONFIG"
DEFAULT_NAME: Final = "emafusion.yaml"
_FILE_BYTES_MAX: Final = 1 << 20
# Errors whose offending value is a mistyped word and can't be a secret; of all other texts only the key is shown.
_SHOWN_TEXT_ERRORS: Final = frozenset({"literal_error", "int_parsing", "float_parsing", "bool_parsing", "union_tag_invalid"})
_SHOWN_CHARS_MAX: Final = 40
_Paths = TypeVar("_Paths", bound=Section)


class ConfigurationError(Exception):
    """The configuration can't be used. ``problems`` lists everything that is wrong; no text contains a secret."""

    def __init__(self, problems: Sequence[Problem], *, path: Path | None = None) -> None:
        self.problems: tuple[Problem, ...] = tuple(problems)
        self.path = path
        where = f" in {path}" if path else ""
        lines = "".join(f"\n  {problem}" for problem in self.problems)
        super().__init__(f"{len(self.problems)} problem{'s' if len(self.problems) != 1 else ''}{where}:{lines}")


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """The configuration, where it came from, where its secrets are, and the fingerprint of what influences decisions."""

    settings: Settings
    path: Path
    secrets: SecretSource
    policy_hash: str


def load_settings(path: Path | None, environ: Mapping[str, str]) -> LoadedSettings:
    """The configuration from ``path``, else from the file that EMAFUSION_CONFIG names, else from ./emafusion.yaml.

    Relative paths inside start at the file's folder. Raises `ConfigurationError` with all problems. Blocks; call it before serving.
    """
    file = (path or Path(environ.get(CONFIG_VARIABLE) or DEFAULT_NAME)).absolute()
    data = _read(file)
    problems = apply_overrides(Settings, data, environ)
    problems += unknown_keys(SectionNode((Settings,)), data)
    settings: Settings | None = None
    try:
        settings = Settings.model_validate(data)
    except ValidationError as error:
        problems += [_problem(detail, data, environ) for detail in _own_errors(error)]
    if settings is None or problems:
        raise ConfigurationError(problems, path=file)
    resolved = resolve_paths(settings, file.parent)
    return LoadedSettings(resolved, file, SecretSource(environ, file.parent), policy_hash(settings))


def policy_hash(settings: Settings) -> str:
    """sha256, first 12 hex digits, over what influences decisions: models, router, judge and cascade.

    Left out are keys and the decision store: two replicas that differ in them decide alike.
    """
    dump = settings.model_dump(
        include={"models", "router", "judge", "cascade"}, exclude={"models": {"__all__": {"api_key"}}, "cascade": {"store"}}
    )
    canonical = json.dumps(dump, sort_keys=True, separators=(",", ":"), default=_plain)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def resolve_paths(settings: Settings, base: Path) -> Settings:
    """The same settings with every relative path made absolute, starting at ``base``."""

    def absolute(path: str | None) -> str | None:
        return None if path is None else str(base / path)

    models = tuple(model.model_copy(update={"recording": absolute(model.recording)}) for model in settings.models)

    def with_paths(section: _Paths | None, *keys: str) -> _Paths | None:
        return section and section.model_copy(update={key: absolute(getattr(section, key)) for key in keys})

    server_tls = with_paths(settings.server.tls, "certificate", "private_key", "client_roots")
    auth = with_paths(settings.server.auth, "keys_file")
    client_tls = with_paths(settings.services.tls, "roots", "certificate", "private_key")
    store = settings.cascade.store
    kept_at = {"url": _absolute_sqlite(store.url, base), "spool_directory": absolute(store.spool_directory)}
    store = store.model_copy(update=kept_at)
    return settings.model_copy(
        update={
            "models": models,
            "artifacts": settings.artifacts.model_copy(update={"directory": absolute(settings.artifacts.directory)}),
            "telemetry": settings.telemetry.model_copy(update={"file": absolute(settings.telemetry.file)}),
            "cascade": settings.cascade.model_copy(update={"store": store}),
            "server": settings.server.model_copy(update={"tls": server_tls, "auth": auth}),
            "services": settings.services.model_copy(update={"tls": client_tls}),
        }
    )


def _absolute_sqlite(url: str, base: Path) -> str:
    scheme, mark, path = url.partition(":///")
    if not scheme.startswith("sqlite") or not mark or not path or path.startswith(("/", ":memory:", "file:")):
        return url
    return f"{scheme}:///{base / path}"


def _plain(value: object) -> list[Any]:
    if isinstance(value, frozenset):
        return sorted(cast("frozenset[str]", value))
    raise TypeError(f"{type(value).__name__} has no canonical form")


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            raw = file.read(_FILE_BYTES_MAX + 1)
    except OSError as error:
        hint = f"name one as an argument or in {CONFIG_VARIABLE}"
        raise ConfigurationError([Problem("", f"configuration file {path} can't be read ({error.strerror}); {hint}")]) from None
    if len(raw) > _FILE_BYTES_MAX:
        raise ConfigurationError([Problem("", f"configuration file is larger than {_FILE_BYTES_MAX:,} bytes")], path=path)
    try:
        data = yaml.load(raw, Loader=_StrictLoader)  # noqa: S506 - a subclass of SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigurationError([Problem(where, f"not valid YAML: {error.problem}")], path=path) from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise ConfigurationError([Problem("", "not valid YAML: the file is not UTF-8 text or has control characters")], path=path) from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigurationError([Problem("", "the file must hold a mapping of keys to values")], path=path)
    return cast("dict[str, Any]", data)


class _StrictLoader(yaml.SafeLoader):
    """YAML in which a key that is given twice is an error; plain YAML silently takes the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - as inherited
        seen: dict[str, int] = {}
        for key, _value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"key `{key.value}` is given twice, first in line {seen[key.value]}", key.start_mark
                    )
                seen[key.value] = key.start_mark.line + 1
        return super().construct_mapping(node, deep=deep)


def _own_errors(error: ValidationError) -> list[ErrorDetails]:
    """Validation's findings without unknown keys, which are reported with a suggestion, and without mere consequences of others."""
    details = error.errors(include_url=False, include_context=False)
    places = [detail["loc"] for detail in details]

    def consequence(detail: ErrorDetails) -> bool:
        depth = len(detail["loc"])
        return detail["type"] == "too_short" and any(len(place) > depth and place[:depth] == detail["loc"] for place in places)

    return [detail for detail in details if detail["type"] != "extra_forbidden" and not consequence(detail)]


def _problem(detail: ErrorDetails, data: dict[str, Any], environ: Mapping[str, str]) -> Problem:
    path = dotted(detail["loc"], data)
    message = detail["msg"].removeprefix("Value error, ")
    value = detail.get("input")
    shown = ""
    if isinstance(value, int | float) or (isinstance(value, str) and detail["type"] in _SHOWN_TEXT_ERRORS):
        shown = f", got {str(value)[:_SHOWN_CHARS_MAX]}"
    variable = next((name for name in environ if name.startswith(PREFIX) and _folded(name.removeprefix(PREFIX)) == _folded(path)), "")
    origin = f" (set by {variable})" if variable else ""
    return Problem(path, f"{message[:1].lower()}{message[1:]}{shown}{origin}")


def _folded(path: str) -> str:
    """A key's path or a variable's, such that both forms of the same path are equal."""
    return re.sub(r"[^A-Z0-9]+", "_", path.upper())
