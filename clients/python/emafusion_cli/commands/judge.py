"""`emafusion judge`: what the panel says about answers."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer
from emafusion_client import EmafusionClient
from emafusion_client.answers import Judgement, Verdict
from emafusion_client.requests import Candidate, JudgeQuestion, Message
from emafusion_client.vocabulary import FinishReason, Role
from rich.table import Table

from emafusion_cli.narration import outcome_in_words
from emafusion_cli.surroundings import OUT, Address, ConfigOption, JsonFlag, TargetOption, TimeoutOption, address_of, run
from emafusion_cli.words import probability, seconds, usd


def judge(
    question: Annotated[str, typer.Argument(help="What was asked.")],
    answers: Annotated[list[str], typer.Argument(help="One answer or more; several are also compared with each other.")],
    config: ConfigOption = None,
    *,
    judges: Annotated[str, typer.Option(help="Ask these judges only, parted by commas.")] = "",
    timeout: TimeoutOption = 60.0,
    target: TargetOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Have the panel judge one answer or several."""
    asked = JudgeQuestion(
        messages=(Message(Role.USER, question),),
        candidates=tuple(Candidate(id=str(n), text=text, finish_reason=FinishReason.STOP) for n, text in enumerate(answers, start=1)),
        judges=tuple(name.strip() for name in judges.split(",") if name.strip()),
    )
    judgement = run(_ask_judges(address_of("judge", target, config), asked, timeout))
    if as_json:
        print(json.dumps(asdict(judgement), ensure_ascii=False))
    else:
        _print(judgement, answers)


async def _ask_judges(address: Address, question: JudgeQuestion, timeout_s: float) -> Judgement:
    async with EmafusionClient(judge=address.target, tls=address.tls, api_key=address.api_key) as client:
        return await client.judge(question, timeout_s=timeout_s)


def _print(judgement: Judgement, answers: list[str]) -> None:
    table = Table("answer", "confidence", "apart", "judges", "cost", box=None, pad_edge=False)
    for answer, outcome in zip(answers, judgement.outcomes, strict=True):
        match outcome.result:
            case Verdict() as verdict:
                judges = "\n".join(outcome_in_words(each) for each in verdict.outcomes)
                figures = (probability(verdict.confidence), probability(verdict.disagreement))
                table.add_row(answer, *figures, judges, usd(verdict.cost_nano_usd))
            case error:
                table.add_row(answer, "–", "–", f"{error.reason}: {error.message}", "")
    OUT.print(table)
    OUT.print(f"[dim]{seconds(judgement.timing.total_s)}[/]")
