"""The `emafusion` command line: routes to the commands, and turns known errors into a sentence and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from emafusion_cli.commands import ask, config, demo, doctor, feedback, judge, keys, models, record, route, trace, up
from emafusion_cli.failures import KNOWN, ExitCode, explain
from emafusion_cli.surroundings import CONNECTION, ERR, ConnectionOptions

app = typer.Typer(
    name="emafusion",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.callback()
def connection(
    context: typer.Context,
    ca: Annotated[Path | None, typer.Option(help="PEM file with the servers' roots. Default: `services.tls.roots`.")] = None,
    cert: Annotated[Path | None, typer.Option(help="PEM file with the own certificate. Default: `services.tls.certificate`.")] = None,
    key: Annotated[Path | None, typer.Option(help="PEM file with its private key. Default: `services.tls.private_key`.")] = None,
    api_key_env: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Variable with the API key. Default: EMAFUSION_API_KEY, else `services.api_key`."),
    ] = None,
) -> None:
    """Sends each chat request to the cheapest language model that can be shown to answer it well."""
    before = CONNECTION.set(ConnectionOptions(ca=ca, cert=cert, key=key, api_key_env=api_key_env))
    context.call_on_close(lambda: CONNECTION.reset(before))


app.command()(up.up)
app.command()(up.down)
app.command()(ask.ask)
app.command()(route.route)
app.command()(judge.judge)
app.command()(trace.trace)
app.command()(feedback.feedback)
app.command()(doctor.doctor)
app.command()(demo.demo)
app.command(context_settings=record.PASSED_ON)(record.record)
app.add_typer(models.app, name="models")
app.add_typer(config.app, name="config")
app.add_typer(keys.app, name="keys")


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point. Exits with one of ``ExitCode``, or 2 where typer refuses the arguments."""
    try:
        app(arguments)
    except KNOWN as error:
        failure = explain(error)
        ERR.print("[red]error:[/] ", end="")
        ERR.print(failure.message, markup=False, soft_wrap=True)
        if failure.hint:
            ERR.print(failure.hint, markup=False, soft_wrap=True)
        sys.exit(failure.exit_code)
    except KeyboardInterrupt:
        sys.exit(ExitCode.INTERRUPTED)
