"""What `emafusion doctor` looks at. Every check says what it found and, where something is missing, how to mend it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from emafusion_cli.catalogue import find_weights
from emafusion_cli.commands.models import disabled_reason
from emafusion_cli.failures import CommandFailed
from emafusion_cli.health import model_ready, service_ready
from emafusion_cli.ports import in_use
from emafusion_cli.stack import SERVICES, local_models
from emafusion_cli.surroundings import connect
from emafusion_cli.weights import ModelStore, WeightsError
from servicekit.artifacts import ArtifactError, load_manifest
from servicekit.settings.load import ConfigurationError, LoadedSettings
from servicekit.settings.masked import mask_url

PYTHON_MIN: Final = (3, 11)
_PACKAGES: Final = {
    "grpc": "pip install emafusion",
    "onnxruntime": "pip install emafusion",
    "tokenizers": "pip install emafusion",
    "router_service": "pip install emafusion",
    "judge_service": "pip install emafusion",
    "cascade_service": "pip install emafusion",
}


class Grade(StrEnum):
    """How a check went. ``NOTE`` is worth knowing but nothing is wrong."""

    GOOD = "good"
    NOTE = "note"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found, and how to mend it."""

    subject: str
    grade: Grade
    detail: str
    mend: str = ""


def check_machine() -> Iterator[Finding]:
    """Python and packages."""
    version = ".".join(map(str, sys.version_info[:3]))
    fine = sys.version_info >= PYTHON_MIN
    yield Finding("python", Grade.GOOD if fine else Grade.MISSING, version, "" if fine else "Install Python 3.11 or later.")
    for package, mend in _PACKAGES.items():
        here = find_spec(package) is not None
        yield Finding(f"package {package}", Grade.GOOD if here else Grade.MISSING, "installed" if here else "not installed", mend)


def check_artifacts(loaded: LoadedSettings) -> Iterator[Finding]:
    """Folders that training publishes: present, and every file with the hash in its manifest."""
    settings = loaded.settings
    folders = (
        settings.router.encoder.artifact,
        settings.router.taxonomy.heads,
        settings.router.taxonomy.suitability,
        settings.judge.calibration,
    )
    for name in folders:
        try:
            manifest = load_manifest(Path(settings.artifacts.directory) / name)
        except ArtifactError as error:
            yield Finding(f"artifact {name}", Grade.MISSING, str(error))
        else:
            yield Finding(f"artifact {name}", Grade.GOOD, f"version {manifest.version}, {len(manifest.files)} files as in the manifest")


def check_weights(loaded: LoadedSettings, store: ModelStore, *, deep: bool) -> Iterator[Finding]:
    """The runtime and the weights of local models; ``deep`` also reads every file and compares its hash."""
    models = local_models(loaded)
    if models and find_spec("xllamacpp") is None:
        yield Finding("package xllamacpp", Grade.MISSING, "local models need it", "pip install 'emafusion[local]'")
    for name in sorted({local.weights for _, local in models}):
        weights = find_weights(name)
        mend = f"emafusion models pull {name}"
        if not store.present(weights):
            yield Finding(f"weights {name}", Grade.MISSING, f"not in {store.directory}", mend)
            continue
        try:
            if deep:
                store.verify(weights)
        except WeightsError as error:
            yield Finding(f"weights {name}", Grade.MISSING, str(error))
        else:
            yield Finding(f"weights {name}", Grade.GOOD, f"{store.path(weights)}{', sha256 as it must be' if deep else ''}")


def check_processes(loaded: LoadedSettings) -> Iterator[Finding]:
    """Services and local model servers: running, or at least their ports free."""
    for model, _ in local_models(loaded):
        endpoint = model.endpoint or ""
        host, _, port = endpoint.removeprefix("http://").partition("/")[0].rpartition(":")
        yield _process(f"model server {model.name}", host, int(port), ready=model_ready(endpoint))
    try:
        addresses = {service: connect(getattr(loaded.settings.services, service).target, loaded) for service in SERVICES}
    except (CommandFailed, ConfigurationError) as error:
        yield Finding("credentials", Grade.MISSING, str(error), "See `services.tls` and `services.api_key`.")
        return
    for service in SERVICES:
        listen = getattr(loaded.settings.services, service)
        host, _, port = listen.listen.rpartition(":")
        yield _process(f"{service} service", host, int(port), ready=service_ready(addresses[service]))


def _process(subject: str, host: str, port: int, *, ready: bool) -> Finding:
    if ready:
        return Finding(subject, Grade.GOOD, f"ready at {host}:{port}")
    if in_use(host, port):
        mend = "Wait if it is starting; else end the other process, or choose another port."
        return Finding(subject, Grade.MISSING, f"{host}:{port} is taken, but what is there is not ready", mend)
    return Finding(subject, Grade.NOTE, f"not running; {host}:{port} is free", "emafusion up")


def check_store(loaded: LoadedSettings) -> Finding:
    """Where decisions are recorded."""
    url = loaded.settings.cascade.store.url
    scheme, _, rest = url.partition("://")
    if not scheme.startswith("sqlite"):
        here = find_spec(scheme.rpartition("+")[2]) is not None
        grade, mend = (Grade.GOOD, "") if here else (Grade.MISSING, "pip install 'emafusion[postgres]'")
        return Finding("decision store", grade, mask_url(url), mend)
    path = Path(rest.removeprefix("/"))
    nearest = next(folder for folder in path.absolute().parents if folder.exists())
    if os.access(nearest, os.W_OK):
        return Finding("decision store", Grade.GOOD, str(path))
    return Finding("decision store", Grade.MISSING, f"{nearest} can't be written", "Set `cascade.store.url` to a place that can.")


def check_keys(loaded: LoadedSettings) -> Iterator[Finding]:
    """Keys of hosted models."""
    for model in loaded.settings.models:
        if model.api_key is None or not model.enabled:
            continue
        reason = disabled_reason(model, loaded)
        if not reason:
            yield Finding(f"key of {model.name}", Grade.GOOD, "set")
        elif model.when_key_missing == "disable":
            yield Finding(f"key of {model.name}", Grade.NOTE, f"{reason}; the model is left out")
        else:
            yield Finding(f"key of {model.name}", Grade.MISSING, reason, f"Set it, or `when_key_missing: disable` for {model.name}.")
