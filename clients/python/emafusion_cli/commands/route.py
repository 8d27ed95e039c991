"""`emafusion route`: the plan that the router makes of a question."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated, Final

import typer
from emafusion_client import EmafusionClient, Question
from emafusion_client.answers import AxisPrediction, Plan, Routing, WeighedModel
from emafusion_client.vocabulary import RouteKind
from rich.table import Table

from emafusion_cli.surroundings import OUT, Address, ConfigOption, JsonFlag, TargetOption, TimeoutOption, address_of, run
from emafusion_cli.words import probability, seconds, usd

ROUTES: Final = {
    RouteKind.TAXONOMY: "measured success rates of the request's category",
    RouteKind.LEARNED: "quality predicted for this very request",
    RouteKind.PRIOR: "overall success rates, for want of a clear category",
}
"""What each route rests on."""
_SHOWN_FROM: Final = 0.01
"""Labels below this probability are left out."""


def route(
    question: Annotated[str, typer.Argument(help="What would be asked.")],
    config: ConfigOption = None,
    *,
    explain: Annotated[bool, typer.Option("--explain", help="Show the numbers behind the plan, for the models left out too.")] = False,
    timeout: TimeoutOption = 10.0,
    target: TargetOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Show which models the router would ask, in which order, and why."""
    where = address_of("router", target, config)
    routing = run(_ask_router(where, question, timeout, explain=explain))
    if as_json:
        print(json.dumps(asdict(routing), ensure_ascii=False))
        return
    if explain:
        print_explained(routing.plan)
    else:
        print_plan(routing.plan)
    OUT.print(f"[dim]{seconds(routing.timing.total_s)}, policy {routing.plan.policy_hash}[/]")


async def _ask_router(address: Address, question: str, timeout_s: float, *, explain: bool) -> Routing:
    async with EmafusionClient(router=address.target, tls=address.tls, api_key=address.api_key) as client:
        return await client.route(Question.of(question), explain=explain, timeout_s=timeout_s)


def print_plan(plan: Plan) -> None:
    """Prints the taxonomy, the models in order, and the models left out."""
    _print_head(plan)
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


def print_explained(plan: Plan) -> None:
    """Prints the same with all numbers: every label that counts, and Φ, prediction and place of every model, planned ones first."""
    _print_head(plan)
    OUT.print(f"  {ROUTES.get(plan.kind, 'fixed by the caller')}", markup=False)
    for reason in plan.reasons:
        OUT.print(f"  {reason}", markup=False)
    OUT.print()
    OUT.print(_axes(plan.axes))
    OUT.print()
    OUT.print(_weighed(plan))


def _print_head(plan: Plan) -> None:
    clear = "clear" if plan.clear else "not clear"
    OUT.print(f"route: {plan.kind}, category {clear}, about {plan.input_tokens} input tokens")


def _axes(axes: tuple[AxisPrediction, ...]) -> Table:
    table = Table("axis", "label", "confidence", "other labels", box=None, pad_edge=False)
    for axis in axes:
        others = ", ".join(f"{label} {share:.2f}" for label, share in axis.distribution if label != axis.label and share >= _SHOWN_FROM)
        table.add_row(axis.axis, axis.label, probability(axis.probability), others)
    return table


def _weighed(plan: Plan) -> Table:
    """One row per model: those of the plan in its order, then the others in order of name."""
    table = Table("tier", "model", "Φ", "±", "answers", "quality", "±", "tokens", "cost", "why here, or why not", box=None, pad_edge=False)
    known = {model.model: model for model in plan.weighed}
    for tier, planned in enumerate(plan.models):
        table.add_row(str(tier), planned.model, *_figures(known.get(planned.model)), planned.reason)
    for excluded in plan.excluded:
        table.add_row("–", excluded.model, *_figures(known.get(excluded.model)), f"{excluded.cause}: {excluded.detail}", style="dim")
    return table


def _figures(model: WeighedModel | None) -> tuple[str, ...]:
    """Φ with its deviation and the answers behind it, then the prediction."""
    if model is None:
        return ("–",) * 7
    return (
        probability(model.suitability),
        probability(model.suitability_stddev),
        f"{model.observations:,}" if model.measured else "none",
        probability(model.predicted_quality),
        probability(model.quality_stddev),
        f"{model.predicted_output_tokens:,}",
        usd(model.predicted_cost_nano_usd),
    )
