"""`emafusion feedback`: tells how good an answer was."""

from __future__ import annotations

from typing import Annotated

import typer
from emafusion_client import EmafusionClient
from emafusion_client.answers import Feedback
from emafusion_client.requests import FeedbackNote

from emafusion_cli.failures import CommandFailed, ExitCode
from emafusion_cli.surroundings import OUT, Address, ConfigOption, TargetOption, TimeoutOption, address_of, run


def feedback(
    decision: Annotated[str, typer.Argument(help="Id of the decision, as `emafusion ask` shows it.")],
    config: ConfigOption = None,
    *,
    correct: Annotated[bool | None, typer.Option("--correct/--wrong", help="Whether the answer was right.")] = None,
    rating: Annotated[float | None, typer.Option(help="Grade from 0.0 (worst) to 1.0 (best).")] = None,
    source: Annotated[str, typer.Option(help="Who says so.")] = "user",
    timeout: TimeoutOption = 10.0,
    target: TargetOption = None,
) -> None:
    """Record whether an answer was right, or how good it was."""
    if correct is None and rating is None:
        raise CommandFailed("say --correct, --wrong or --rating", exit_code=ExitCode.WRONG_INPUT)
    where = address_of("cascade", target, config)
    recorded = run(_submit(where, decision, FeedbackNote(correct=correct, rating=rating, source=source), timeout))
    OUT.print(f"recorded for {decision}: correct={recorded.correct} rating={recorded.rating} source={recorded.source}")


async def _submit(address: Address, decision: str, note: FeedbackNote, timeout_s: float) -> Feedback:
    async with EmafusionClient(cascade=address.target, tls=address.tls, api_key=address.api_key) as client:
        return await client.feedback(decision, note, timeout_s=timeout_s)
