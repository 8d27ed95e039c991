"""`emafusion keys`: makes API keys and shows what they use."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated, get_args

import typer
from emafusion_client import EmafusionClient
from emafusion_client.quotas import Quota
from rich.table import Table

from emafusion_cli.failures import CommandFailed, ExitCode
from emafusion_cli.surroundings import ERR, OUT, Address, ConfigOption, JsonFlag, TargetOption, TimeoutOption, address_of, run
from emafusion_cli.words import usd
from servicekit.keys import hash_of, new_key
from servicekit.settings.auth import ApiKeySettings, Scope

app = typer.Typer(no_args_is_help=True, help="Make API keys and see what they use.")
_ID_BYTES = 4


@app.callback()
def keys() -> None:
    """Make API keys and see what they use."""


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


@app.command()
def usage(target: TargetOption = None, config: ConfigOption = None, timeout: TimeoutOption = 30.0, as_json: JsonFlag = False) -> None:
    """Show what each key has used, over all replicas, and what it may use. Needs a key with the scope `usage` where keys are asked for."""
    address = address_of("cascade", target, config)
    quotas = run(_list_quotas(address, timeout))
    if as_json:
        print(json.dumps([asdict(quota) for quota in quotas], indent=2))
        return
    table = Table("scope", "requests/min", "tokens/min", "running", "day (UTC)", "requests", "tokens", "cost", "held", box=None)
    for quota in quotas:
        table.add_row(
            quota.scope,
            _of(quota.requests_used, quota.requests_per_minute),
            _of(quota.tokens_used, quota.tokens_per_minute),
            _of(quota.requests_running, quota.concurrent_requests),
            quota.day,
            f"{quota.requests_today:,}",
            f"{quota.tokens_today:,}",
            _of_usd(quota.cost_nano_usd_today, quota.cost_max_nano_usd_per_day),
            usd(quota.cost_nano_usd_held),
        )
    OUT.print(table)


async def _list_quotas(address: Address, timeout_s: float) -> tuple[Quota, ...]:
    async with EmafusionClient(cascade=address.target, tls=address.tls, api_key=address.api_key) as client:
        return await client.list_quotas(timeout_s=timeout_s)


def _of(used: int, limit: int | None) -> str:
    return f"{used:,}" if limit is None else f"{used:,} of {limit:,}"


def _of_usd(used: int, limit: int | None) -> str:
    return usd(used) if limit is None else f"{usd(used)} of {usd(limit)}"
