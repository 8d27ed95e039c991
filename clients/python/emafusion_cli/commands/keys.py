"""`emafusion keys`: makes API keys."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from typing import Annotated, get_args

import typer

from emafusion_cli.failures import CommandFailed, ExitCode
from emafusion_cli.surroundings import ERR
from servicekit.keys import hash_of, new_key
from servicekit.settings.auth import ApiKeySettings, Scope

app = typer.Typer(no_args_is_help=True, help="Make API keys.")
_ID_BYTES = 4


@app.callback()
def keys() -> None:
    """Make API keys."""


@app.command()
def new(
    scope: Annotated[list[str], typer.Option(help=f"What the key is good for; repeat it for more: {', '.join(get_args(Scope))}.")],
    name: Annotated[str, typer.Option("--id", help="Name of the key in logs and spans. Default: a random one.")] = "",
    days: Annotated[int | None, typer.Option("--expires-in-days", min=1, max=3_650, help="Days until it expires. Default: never.")] = None,
) -> None:
    """Make a key: it is printed once, on standard output; the line for the configuration, with its hash alone, goes to standard error."""
    if wrong := sorted(set(scope) - set(get_args(Scope))):
        allowed = ", ".join(get_args(Scope))
        raise CommandFailed(f"`--scope` is {', '.join(wrong)}; allowed: {allowed}", exit_code=ExitCode.WRONG_INPUT)
    key = new_key()
    expires = None if days is None else (datetime.now(UTC) + timedelta(days=days)).replace(microsecond=0)
    entry = {"id": name or f"key-{secrets.token_hex(_ID_BYTES)}", "hash": hash_of(key), "scopes": list(dict.fromkeys(scope))}
    try:
        listed = ApiKeySettings.model_validate(entry | {"expires": expires})
    except ValueError:
        raise CommandFailed(f"`--id` is {name}; allowed: letters, digits and ._:/-", exit_code=ExitCode.WRONG_INPUT) from None
    until = "" if listed.expires is None else f", expires: {listed.expires.isoformat()}"
    print(key, flush=True)
    ERR.print("Keep the key, it is shown this once. For `server.auth.keys`, or the file that `server.auth.keys_file` names:", markup=False)
    line = f'- {{id: "{listed.id}", hash: "{listed.hash}", scopes: [{", ".join(listed.scopes)}]{until}}}'
    ERR.print(line, markup=False, soft_wrap=True)
