"""`emafusion doctor`: what is missing on this machine, and how to mend it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated, Final

import typer
from rich.table import Table

from emafusion_cli import checkup
from emafusion_cli.checkup import Finding, Grade
from emafusion_cli.failures import ExitCode
from emafusion_cli.surroundings import OUT, ConfigOption, JsonFlag, ModelsDirOption, load_configuration, model_store, running_stack
from emafusion_cli.weights import ModelStore
from servicekit.settings.load import ConfigurationError, LoadedSettings

_MARKS: Final = {Grade.GOOD: "[green]ok[/]", Grade.NOTE: "[blue]note[/]", Grade.MISSING: "[red]missing[/]"}


def doctor(
    config: ConfigOption = None,
    *,
    deep: Annotated[bool, typer.Option("--deep", help="Also read all weights and check their sha256.")] = False,
    models_dir: ModelsDirOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Check Python, packages, configuration, artifacts, weights, ports, services, store and keys; exit with 1 if something is missing."""
    findings = list(checkup.check_machine())
    try:
        loaded = load_configuration(config)
    except ConfigurationError as error:
        findings.append(Finding("configuration", Grade.MISSING, str(error), "Name another file with --config."))
    else:
        findings += examine(loaded, model_store(models_dir), deep=deep)
    missing = sum(finding.grade is Grade.MISSING for finding in findings)
    if as_json:
        OUT.print_json(data=[asdict(finding) for finding in findings])
    else:
        _print(findings)
        OUT.print(f"{missing} missing" if missing else "[green]Nothing is missing.[/]")
    sys.exit(ExitCode.FAILED if missing else ExitCode.DONE)


def examine(loaded: LoadedSettings, store: ModelStore, *, deep: bool) -> Iterator[Finding]:
    """Everything that depends on the configuration."""
    yield Finding("configuration", Grade.GOOD, f"{loaded.path}, policy hash {loaded.policy_hash}")
    yield from checkup.check_artifacts(loaded)
    yield from checkup.check_weights(loaded, store, deep=deep)
    stack = running_stack(loaded)
    if stack is None:
        yield from checkup.check_processes(loaded)
    else:
        for process in stack.processes:
            yield Finding(
                f"process {process.name}", Grade.GOOD if process.alive else Grade.MISSING, f"pid {process.pid} at {process.address}"
            )
    yield checkup.check_store(loaded)
    yield from checkup.check_keys(loaded)


def _print(findings: list[Finding]) -> None:
    table = Table("", "what", "found", "mend", box=None, pad_edge=False)
    for finding in findings:
        mend = "" if finding.grade is Grade.GOOD else finding.mend
        table.add_row(_MARKS[finding.grade], finding.subject, finding.detail, mend)
    OUT.print(table)
