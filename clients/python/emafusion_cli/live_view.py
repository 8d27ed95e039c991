"""The live view of `emafusion ask`: the plan with what came of each tier, the verdicts, the text so far, the running cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from emafusion_client import Transcript
from emafusion_client.answers import PlannedModel, Verdict
from emafusion_client.events import AttemptStarted, Completed, Decomposed, Escalated, Event, Judged, Routed
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from emafusion_cli.narration import completion_in_words, outcome_in_words, part_in_words, rule_in_words, shortened
from emafusion_cli.words import probability, usd


@dataclass(slots=True)
class _Tier:
    model: str
    planned: PlannedModel | None
    part: int | None = None
    state: str = ""
    style: str = "dim"
    verdict: Verdict | None = None
    cost_nano_usd: int | None = None


@dataclass(slots=True)
class LiveView:
    """Feed it every event; rich draws it whenever it likes."""

    transcript: Transcript = field(default_factory=Transcript)
    _tiers: list[_Tier] = field(default_factory=list[_Tier])
    _by_attempt: dict[int, _Tier] = field(default_factory=dict[int, _Tier])
    _decomposed: Decomposed | None = None
    _footer: str = "asking the router"

    def apply(self, event: Event) -> None:
        """Takes account of ``event``."""
        self.transcript.apply(event)
        match event:
            case Decomposed():
                self._decomposed = event
            case Routed():
                self._tiers += [_Tier(planned.model, planned, event.part) for planned in event.plan.models]
                self._tiers.sort(key=lambda tier: tier.part or 0)
                self._footer = rule_in_words(event)
            case AttemptStarted():
                self._start(event)
            case Judged():
                tier = self._by_attempt[event.attempt]
                tier.verdict = event.verdict
                tier.state, tier.style = ("accepted", "green") if event.accepted else ("not accepted", "yellow")
            case Escalated():
                tier = self._by_attempt[event.from_attempt]
                tier.state, tier.style = str(event.reason), "yellow"
            case Completed():
                self._finish(event)
            case _:
                return

    def _start(self, event: AttemptStarted) -> None:
        tier = next((tier for tier in self._tiers if tier.model == event.model and tier.part == event.part), None)
        if tier is None:
            tier = _Tier(event.model, None, event.part)
            self._tiers.append(tier)
        tier.state, tier.style = "writing …", "bold"
        self._by_attempt[event.attempt] = tier

    def _finish(self, event: Completed) -> None:
        for attempt in event.completion.attempts:
            if attempt.attempt in self._by_attempt:
                self._by_attempt[attempt.attempt].cost_nano_usd = attempt.cost_nano_usd + attempt.judge_cost_nano_usd
        parts = [f"part {number}: {part_in_words(part)}" for number, part in enumerate(event.completion.parts)]
        self._footer = "\n".join((completion_in_words(event.completion), *parts))

    def _running_cost(self) -> int:
        """What was spent as far as it is known: finished attempts as billed, the others as predicted, with their judges."""
        total = 0
        for tier in self._by_attempt.values():
            if tier.cost_nano_usd is not None:
                total += tier.cost_nano_usd
            else:
                total += tier.planned.predicted_cost_nano_usd if tier.planned else 0
                total += tier.verdict.cost_nano_usd if tier.verdict else 0
        return total

    def __rich__(self) -> RenderableType:
        table = Table("tier", "model", "expected", "cost", "confidence", "judges", "state", box=None, pad_edge=False)
        for number, tier in self._numbered():
            table.add_row(number, tier.model, *self._figures(tier), tier.state, style=tier.style)
        text = self.transcript.visible
        parts: list[RenderableType] = [*self._splitting(), table]
        if text:
            parts.append(Panel(Text(text), title="answer" if text == self.transcript.committed else "provisional", title_align="left"))
        parts.append(Text(f"{usd(self._running_cost())} · {self._footer}", style="dim"))
        return Group(*parts)

    def _numbered(self) -> Iterator[tuple[str, _Tier]]:
        """Every tier with its place in its plan, the number of the part before it."""
        places: Counter[int | None] = Counter()
        for tier in self._tiers:
            yield (str(places[tier.part]) if tier.part is None else f"{tier.part}.{places[tier.part]}"), tier
            places[tier.part] += 1

    def _splitting(self) -> list[RenderableType]:
        event = self._decomposed
        if event is None:
            return []
        if not event.parts:
            return [Text(f"answered whole: {event.reason}", style="dim")]
        return [Text(f"part {number}  {part.label} {shortened(part.text)}", style="dim") for number, part in enumerate(event.parts)]

    @staticmethod
    def _figures(tier: _Tier) -> tuple[str, str, str, str]:
        expected = probability(tier.planned.predicted_quality) if tier.planned else "–"
        predicted = f"≈{usd(tier.planned.predicted_cost_nano_usd)}" if tier.planned else ""
        cost = predicted if tier.cost_nano_usd is None else usd(tier.cost_nano_usd)
        if tier.verdict is None:
            return expected, cost, "", ""
        judges = "\n".join(outcome_in_words(outcome) for outcome in tier.verdict.outcomes)
        return expected, cost, probability(tier.verdict.confidence), judges
