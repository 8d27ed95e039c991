"""What the judges have said on one candidate so far, and what follows from it."""

from __future__ import annotations

from collections.abc import Sequence

from judge_service.domain import aggregation
from judge_service.domain.calibration import Calibration
from judge_service.domain.ports import Judge
from judge_service.domain.verdicts import Defect, JudgeOutcome, NoVerdict, Status, Verdict

DECISION_MARGIN = 1e-9
"""Distance from the threshold that bounds must keep before the panel stops: far more than rounding, far less than matters."""


class Ballot:
    """Collects one outcome per judge. ``accept_threshold`` None means that the panel never stops early on this candidate."""

    def __init__(self, judges: Sequence[Judge], calibration: Calibration, *, accept_threshold: float | None) -> None:
        self._judges = tuple(judges)
        self._calibration = calibration
        self._threshold = accept_threshold
        self._outcomes: dict[str, JudgeOutcome] = {}
        self._stopped_early = False

    @property
    def missing(self) -> tuple[Judge, ...]:
        """Judges without an outcome, in the order of the panel."""
        return tuple(judge for judge in self._judges if judge.name not in self._outcomes)

    @property
    def may_stop_early(self) -> bool:
        """True when there is a threshold that the confidence can be settled against."""
        return self._threshold is not None

    def add(self, outcome: JudgeOutcome) -> None:
        """Records what came of one judge."""
        self._outcomes[outcome.judge] = outcome

    def settled(self) -> bool:
        """True when some judge has scored and none that is missing can move the confidence across the threshold."""
        missing = self.missing
        if self._threshold is None or not missing or not self._scores():
            return False
        waiting = [aggregation.Waiting(judge.kind, judge.finds_defects) for judge in missing]
        bounds = aggregation.bounds(self._calibration, self._scores(), self._defects(), waiting=waiting)
        return bounds.low >= self._threshold + DECISION_MARGIN or bounds.high < self._threshold - DECISION_MARGIN

    def skip_missing(self) -> tuple[JudgeOutcome, ...]:
        """Records every missing judge as skipped because the verdict can't change; returns the new outcomes."""
        skipped = tuple(
            JudgeOutcome(judge=judge.name, status=Status.SKIPPED, explanation="the verdict could no longer change")
            for judge in self.missing
        )
        for outcome in skipped:
            self.add(outcome)
        self._stopped_early = self._stopped_early or bool(skipped)
        return skipped

    def result(self) -> Verdict | NoVerdict:
        """The verdict, or none when no judge scored and at least one failed or timed out. Every judge must have an outcome."""
        outcomes = tuple(self._outcomes[judge.name] for judge in self._judges)
        scores = self._scores()
        if not scores and any(outcome.status in {Status.FAILED, Status.TIMED_OUT} for outcome in outcomes):
            return NoVerdict(outcomes=outcomes)
        defects = self._defects()
        return Verdict(
            confidence=aggregation.confidence(self._calibration, scores, defects),
            disagreement=aggregation.disagreement(self._calibration, scores),
            outcomes=outcomes,
            defects=defects,
            stopped_early=self._stopped_early,
            evidence="+".join(outcome.judge for outcome in outcomes if outcome.status is Status.SCORED),
            calibration=self._calibration.version,
            cost_nano_usd=sum(outcome.cost_nano_usd for outcome in outcomes),
        )

    def _scores(self) -> list[aggregation.Score]:
        found = ((judge.kind, self._outcomes.get(judge.name)) for judge in self._judges)
        return [aggregation.Score(kind, outcome.score) for kind, outcome in found if outcome is not None and outcome.score is not None]

    def _defects(self) -> tuple[Defect, ...]:
        """Each defect once, in the order of the enumeration; only judges that are known to find defects count."""
        found = {defect for judge in self._judges if judge.finds_defects for defect in self._defects_by(judge.name)}
        return tuple(defect for defect in Defect if defect in found)

    def _defects_by(self, name: str) -> tuple[Defect, ...]:
        outcome = self._outcomes.get(name)
        return () if outcome is None else outcome.defects
