"""`emafusion route`: the plan that the router makes of a question."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer
from emafusion_client import EmafusionClient, Question
from emafusion_client.answers import Plan, Routing
from rich.table import Table

from emafusion_cli.surroundings import OUT, Address, ConfigOption, JsonFlag, TargetOption, TimeoutOption, address_of, run
from emafusion_cli.words import probability, seconds, usd


def route(
    question: Annotated[str, typer.Argument(help="What would be asked.")],
    config: ConfigOption = None,
    *,
    timeout: TimeoutOption = 10.0,
    target: TargetOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Show which models the router would ask, in which order, and why."""
    where = address_of("router", target, config)
    routing = run(_ask_router(where, question, timeout))
    if as_json:
        print(json.dumps(asdict(routing), ensure_ascii=False))
        return
    print_plan(routing.plan)
    OUT.print(f"[dim]{seconds(routing.timing.total_s)}, policy {routing.plan.policy_hash}[/]")


async def _ask_router(address: Address, question: str, timeout_s: float) -> Routing:
    async with EmafusionClient(router=address.target, tls=address.tls, api_key=address.api_key) as client:
        return await client.route(Question.of(question), timeout_s=timeout_s)


def print_plan(plan: Plan) -> None:
    """Prints the taxonomy, the models in order, and the models left out."""
    clear = "clear" if plan.clear else "not clear"
    OUT.print(f"route: {plan.kind}, category {clear}, about {plan.input_tokens} input tokens")
    for axis in plan.axes:
        rest = ", ".join(f"{label} {share:.2f}" for label, share in axis.distribution[1:4])
        OUT.print(f"  {axis.axis:21} {axis.label} {axis.probability:.2f}  [dim]{rest}[/]")
    table = Table("tier", "model", "quality", "±", "cost", "tokens", "why", box=None, pad_edge=False)
    for tier, model in enumerate(plan.models):
        figures = (probability(model.predicted_quality), probability(model.quality_stddev), usd(model.predicted_cost_nano_usd))
        table.add_row(str(tier), model.model, *figures, str(model.predicted_output_tokens), model.reason)
    OUT.print(table)
    for excluded in plan.excluded:
        OUT.print(f"  [dim]without {excluded.model}: {excluded.cause} {excluded.detail}[/]")
    for reason in plan.reasons:
        OUT.print(f"  {reason}", markup=False)
