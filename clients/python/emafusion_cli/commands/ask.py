"""`emafusion ask`: one question through the cascade, live."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from enum import StrEnum
from typing import Annotated

import typer
from emafusion_client import EmafusionClient, Event, IncompleteStream, Question
from emafusion_client.answers import Completion
from emafusion_client.events import Completed
from emafusion_client.requests import Ceilings, Decompose, Message
from emafusion_client.vocabulary import Delivery, Role
from rich.live import Live

from emafusion_cli.live_view import LiveView
from emafusion_cli.narration import as_json, in_words
from emafusion_cli.surroundings import ERR, OUT, Address, ConfigOption, TargetOption, TimeoutOption, address_of, run

_NANO_PER_USD = 1_000_000_000


class Mode(StrEnum):
    """When text is shown."""

    BUFFERED = "buffered"
    SPECULATIVE = "speculative"
    PREFIX_COMMIT = "prefix_commit"


def ask(
    question: Annotated[str, typer.Argument(help="What to ask.")],
    config: ConfigOption = None,
    *,
    delivery: Annotated[
        Mode | None, typer.Option(help="Show text once accepted, at once and withdraw it if need be, or once its beginning is good enough.")
    ] = None,
    policy: Annotated[str, typer.Option(help="Acceptance policy. Default: the configured one.")] = "",
    threshold: Annotated[float | None, typer.Option(help="Confidence at which an answer is accepted, 0.0 to 1.0.")] = None,
    worth: Annotated[
        float | None, typer.Option(help="What a right answer is worth, in USD: the dial of a policy of kind value.", min=0.0)
    ] = None,
    max_cost: Annotated[float | None, typer.Option(help="Most that the answer may cost, in USD.", min=0.0)] = None,
    models: Annotated[str, typer.Option(help="Ask these models in this order, parted by commas, instead of the router's plan.")] = "",
    decompose: Annotated[
        bool, typer.Option("--decompose", help="Split a question that asks several things, and answer each on its own.")
    ] = False,
    system: Annotated[str, typer.Option(help="Instructions that stand before the question.")] = "",
    timeout: TimeoutOption = 300.0,
    target: TargetOption = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object per event.")] = False,
) -> None:
    """Ask a question and watch it go from tier to tier until an answer is good enough."""
    asked = Question(
        messages=(*((Message(Role.SYSTEM, system),) if system else ()), Message(Role.USER, question)),
        ceilings=None if max_cost is None else Ceilings(cost_max_nano_usd=round(max_cost * _NANO_PER_USD)),
        policy=policy,
        accept_threshold=threshold,
        answer_worth_nano_usd=None if worth is None else round(worth * _NANO_PER_USD),
        fixed_plan=tuple(name.strip() for name in models.split(",") if name.strip()),
        decompose=Decompose() if decompose else None,
    )
    mode = Delivery(delivery) if delivery else Delivery.UNSPECIFIED
    where = address_of("cascade", target, config)
    if json:
        run(follow(where, asked, mode, timeout, lambda event: print(as_json(event), flush=True)))
    elif OUT.is_terminal:
        _ask_live(where, asked, mode, timeout)
    else:
        completion = run(follow(where, asked, mode, timeout, narrate))
        print(completion.text)


async def follow(address: Address, question: Question, delivery: Delivery, timeout_s: float, seen: Callable[[Event], None]) -> Completion:
    """Asks, tells ``seen`` about every event, and returns the answer. Raises ``EmafusionError``."""
    async with (
        EmafusionClient(cascade=address.target, tls=address.tls, api_key=address.api_key) as client,
        aclosing(client.stream(question, delivery=delivery, timeout_s=timeout_s)) as events,
    ):
        async for event in events:
            seen(event)
            if isinstance(event, Completed):
                return event.completion
    raise IncompleteStream


def narrate(event: Event) -> None:
    """Prints the event as a line on standard error."""
    if line := in_words(event):
        ERR.print(line, markup=False, soft_wrap=True)


def _ask_live(address: Address, question: Question, delivery: Delivery, timeout_s: float) -> None:
    view = LiveView()
    with Live(view, console=OUT, refresh_per_second=8):
        completion = run(follow(address, question, delivery, timeout_s, view.apply))
    OUT.print(f"[dim]decision {completion.decision_id} · `emafusion trace {completion.decision_id}` shows how it came about[/]")
