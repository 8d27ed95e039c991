"""Which processes make up a running stack: a server for each local model, and the three services."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from emafusion_cli.catalogue import find_weights
from emafusion_cli.failures import CommandFailed
from emafusion_cli.health import model_ready, service_ready
from emafusion_cli.ports import free_ports, in_use
from emafusion_cli.state import FOLDER
from emafusion_cli.supervisor import ProcessSpec
from emafusion_cli.surroundings import Address, connect
from emafusion_cli.weights import ModelStore
from servicekit.settings.load import CONFIG_VARIABLE, LoadedSettings, load_settings
from servicekit.settings.models import LocalModelSettings, ModelSettings
from servicekit.settings.serving import ListenSettings

SERVICES: Final = ("router", "judge", "cascade")
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost"})


@dataclass(frozen=True, slots=True, kw_only=True)
class StackPlan:
    """What to start, and the addresses of the services by name."""

    specs: tuple[ProcessSpec, ...]
    addresses: Mapping[str, Address]

    @property
    def targets(self) -> Mapping[str, str]:
        """GRPC targets of the services by name."""
        return {service: address.target for service, address in self.addresses.items()}


def local_models(loaded: LoadedSettings) -> list[tuple[ModelSettings, LocalModelSettings]]:
    """Enabled models that are served on this machine."""
    return [(model, model.local) for model in loaded.settings.models if model.enabled and model.local is not None]


def missing_weights(loaded: LoadedSettings, store: ModelStore) -> list[str]:
    """Names of weights that local models need and that are not here. Raises ``UnknownWeights``."""
    needed = {local.weights for _, local in local_models(loaded)}
    return sorted(name for name in needed if not store.present(find_weights(name)))


def on_free_ports(loaded: LoadedSettings, environ: Mapping[str, str]) -> tuple[LoadedSettings, dict[str, str]]:
    """The configuration with every local process on a free port, and the environment that says so to the processes."""
    models = local_models(loaded)
    ports = iter(free_ports(len(models) + len(SERVICES)))
    overrides = dict(environ)
    for model, _ in models:
        overrides[endpoint_variable(model.name)] = f"http://127.0.0.1:{next(ports)}/v1"
    for service in SERVICES:
        port = next(ports)
        overrides[f"EMAFUSION__SERVICES__{service.upper()}__LISTEN"] = f"127.0.0.1:{port}"
        overrides[f"EMAFUSION__SERVICES__{service.upper()}__TARGET"] = f"dns:///127.0.0.1:{port}"
    return load_settings(loaded.path, overrides), overrides


def plan_stack(loaded: LoadedSettings, store: ModelStore, environ: Mapping[str, str]) -> StackPlan:
    """What to start for this configuration. Raises ``CommandFailed`` when weights are missing or a port is taken."""
    if missing := missing_weights(loaded, store):
        raise CommandFailed(f"weights are missing: {', '.join(missing)}", hint=f"Run `emafusion models pull {' '.join(missing)}`.")
    logs = loaded.path.parent / FOLDER / "logs"
    models = tuple(_model_spec(model, local, store, environ, logs) for model, local in local_models(loaded))
    addresses = {service: connect(_listen(loaded, service).target, loaded) for service in SERVICES}
    services = tuple(_service_spec(service, loaded, environ, logs, address=address) for service, address in addresses.items())
    _require_free_ports(models + services)
    return StackPlan(specs=models + services, addresses=addresses)


def _model_spec(model: ModelSettings, local: LocalModelSettings, store: ModelStore, environ: Mapping[str, str], logs: Path) -> ProcessSpec:
    endpoint = model.endpoint or ""
    url = urlsplit(endpoint)
    if url.hostname not in _LOOPBACK or url.port is None:
        raise CommandFailed(f"`models.{model.name}.endpoint` is {endpoint}; a local model is served at http://127.0.0.1:PORT/v1")
    options = {
        "--weights": local.weights,
        "--port": url.port,
        "--threads": local.threads,
        "--context": local.context_tokens,
        "--slots": local.slots,
        "--models-dir": store.directory,
    }
    return ProcessSpec(
        name=model.name,
        kind="local model",
        command=(sys.executable, "-m", "emafusion_cli.local_server", *(str(word) for pair in options.items() for word in pair)),
        environ=environ,
        address=f"127.0.0.1:{url.port}",
        log=logs / f"{model.name}.log",
        ready=partial(model_ready, endpoint),
    )


def _service_spec(service: str, loaded: LoadedSettings, environ: Mapping[str, str], logs: Path, *, address: Address) -> ProcessSpec:
    listen = _listen(loaded, service)
    return ProcessSpec(
        name=service,
        kind="service",
        command=(sys.executable, "-m", f"{service}_service"),
        environ={**environ, CONFIG_VARIABLE: str(loaded.path)},
        address=listen.listen,
        log=logs / f"{service}.log",
        ready=partial(service_ready, address),
    )


def _listen(loaded: LoadedSettings, service: str) -> ListenSettings:
    listen: ListenSettings = getattr(loaded.settings.services, service)
    return listen


def _require_free_ports(specs: tuple[ProcessSpec, ...]) -> None:
    for spec in specs:
        host, _, port = spec.address.rpartition(":")
        if in_use(host, int(port)):
            raise CommandFailed(
                f"{spec.address}, where {spec.name} should listen, is taken by another process",
                hint="If it is an earlier `emafusion up`, end it with `emafusion down`; otherwise use `--ports auto`.",
            )


def endpoint_variable(model: str) -> str:
    """The environment variable that overrides where ``model`` is reached."""
    name = re.sub(r"[^A-Z0-9]+", "_", model.upper()).strip("_")
    return f"EMAFUSION__MODELS__{name}__ENDPOINT"
