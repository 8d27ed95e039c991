"""Serves one set of local weights as an OpenAI-compatible endpoint on the loopback interface.

``python -m emafusion_cli.local_server --weights smollm2-135m --port 8101`` answers ``/v1/chat/completions`` (streaming, token
log-probabilities) through llama.cpp. ``/health`` answers 200 once the model is loaded. SIGTERM or SIGINT ends the process.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from emafusion_cli.catalogue import UnknownWeights, find_weights
from emafusion_cli.weights import ModelStore, models_directory
from servicekit.settings.process import process_environment

EXIT_NOT_READY = 3
_PORT_MAX = 65_535
_THREADS_MAX = 256
_CONTEXT_MIN = 256
_CONTEXT_MAX = 1_048_576
_SLOTS_MAX = 64
_HTTP_THREADS_SPARE = 2
_ENDING = {signal.SIGTERM, signal.SIGINT}


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalServer:
    """What to serve and how: ``context_tokens`` is the whole window, which ``slots`` requests at a time share."""

    weights: str
    path: Path
    port: int
    threads: int
    context_tokens: int
    slots: int


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line. Exits with 3 and one line of explanation when the weights or the runtime are missing."""
    try:
        server = parse(arguments, environ=process_environment())
    except (UnknownWeights, WeightsMissing) as error:
        print(error, file=sys.stderr)
        sys.exit(EXIT_NOT_READY)
    serve(server)


def parse(arguments: Sequence[str] | None, *, environ: Mapping[str, str]) -> LocalServer:
    """What the command line asks for. Raises ``UnknownWeights`` or ``WeightsMissing``."""
    parser = argparse.ArgumentParser(prog="python -m emafusion_cli.local_server", description=__doc__)
    parser.add_argument("--weights", required=True, help="name, as `emafusion models list` shows it")
    parser.add_argument("--port", required=True, type=_whole(0, _PORT_MAX), help="port on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--threads", type=_whole(1, _THREADS_MAX), default=1, help="threads of inference (default 1)")
    parser.add_argument("--context", type=_whole(_CONTEXT_MIN, _CONTEXT_MAX), default=4096, help="tokens, shared by all slots (4096)")
    parser.add_argument("--slots", type=_whole(1, _SLOTS_MAX), default=2, help="requests served side by side (default 2)")
    parser.add_argument("--models-dir", type=Path, default=models_directory(environ), help="where the weights are")
    chosen = parser.parse_args(arguments)
    weights, store = find_weights(chosen.weights), ModelStore(chosen.models_dir)
    if not store.present(weights):
        raise WeightsMissing(weights.name, store.path(weights))
    return LocalServer(
        weights=weights.name,
        path=store.path(weights),
        port=chosen.port,
        threads=chosen.threads,
        context_tokens=chosen.context,
        slots=chosen.slots,
    )


def _whole(low: int, high: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        value = int(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{value} is not between {low} and {high}")
        return value

    return number


class WeightsMissing(Exception):
    """The file is not there in full."""

    def __init__(self, name: str, path: Path) -> None:
        super().__init__(f"{path} is missing or incomplete; run `emafusion models pull {name}`")


def serve(server: LocalServer) -> None:
    """Serves until SIGTERM or SIGINT, which ends the process at once, answers in progress included.

    Prints one line when the model is loaded and the port is open.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)  # before the runtime starts its threads, so that all of them inherit it
    runtime = _runtime()
    running = runtime.Server(_parameters(runtime, server))
    print(f"serving {server.weights} on {running.listening_address}", flush=True)
    signal.sigwait(_ENDING)
    os._exit(0)  # an orderly stop of the runtime would wait for the answers in progress; there is nothing to save


def _runtime() -> Any:  # noqa: ANN401 the runtime is a C extension without types
    try:
        return import_module("xllamacpp")
    except ImportError:
        print("the package `xllamacpp` is not installed; run `pip install 'emafusion[local]'`", file=sys.stderr)
        sys.exit(EXIT_NOT_READY)


def _parameters(runtime: Any, server: LocalServer) -> Any:  # noqa: ANN401 the runtime is a C extension without types
    parameters = runtime.CommonParams()
    parameters.model.path = str(server.path)
    parameters.model_alias = {server.weights}
    parameters.hostnames = ["127.0.0.1"]
    parameters.cors_origins = "http://127.0.0.1"  # no web page may talk to it
    parameters.port = server.port
    parameters.n_ctx = server.context_tokens
    parameters.n_parallel = server.slots
    parameters.kv_unified = True  # one request alone may use the whole window
    parameters.cpuparams.n_threads = server.threads
    parameters.cpuparams_batch.n_threads = server.threads
    parameters.n_threads_http = server.slots + _HTTP_THREADS_SPARE
    parameters.cache_ram_mib = 0  # no second copy of old prompts beside the slots'
    parameters.cache_idle_slots = False
    parameters.verbosity = 1  # errors only; prompts are never logged
    parameters.ui = False
    parameters.endpoint_slots = False
    return parameters


if __name__ == "__main__":
    main()
