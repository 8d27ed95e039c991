"""Spans, events and metrics of judges."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from judge_service.adapters.instrumented import InstrumentedJudge, JudgeInstruments
from judge_service.domain.errors import JudgeFailed
from judge_service.domain.rubric import CRITERIA
from providers.errors import ServerFault
from servicekit import semconv
from tests.support.judge_server import LOCAL, RUBRIC, judge_request, judge_settings, judging
from tests.support.judges import ScriptedJudge, case
from tests.support.models import ScriptedModel
from tests.support.spans import record_telemetry

GOOD = json.dumps(dict.fromkeys(CRITERIA, 0.9))


async def test_a_span_per_judge_with_one_evaluation_event(tmp_path: Path) -> None:
    recorder = record_telemetry()
    model = ScriptedModel("big", GOOD)
    async with judging(judge_settings(tmp_path, (*LOCAL, RUBRIC)), model, telemetry=recorder.telemetry) as stub:
        await stub.Judge(judge_request("Paris"))
    server = next(span for span in recorder.spans if span.kind.name == "SERVER")
    assert server.context is not None
    for name in ("checks", "agreement", "confidence", "llm"):
        span = recorder.only(f"judge {name}", kind="INTERNAL")
        assert span.parent is not None
        assert span.parent.span_id == server.context.span_id
        assert [event.name for event in span.events] == [semconv.EVENT_GEN_AI_EVALUATION_RESULT]
        assert (span.attributes or {})[semconv.EMAFUSION_JUDGE_CANDIDATE_ID] == "c0"


async def test_what_the_event_says(tmp_path: Path) -> None:
    recorder = record_telemetry()
    async with judging(judge_settings(tmp_path, LOCAL), telemetry=recorder.telemetry) as stub:
        await stub.Judge(judge_request(""))
    checks: dict[str, Any] = dict(recorder.only("judge checks").events[0].attributes or {})
    assert checks[semconv.GEN_AI_EVALUATION_NAME] == "checks"
    assert checks[semconv.GEN_AI_EVALUATION_SCORE_VALUE] == 0.0
    assert checks[semconv.GEN_AI_EVALUATION_SCORE_LABEL] == "fail"
    confidence: dict[str, Any] = dict(recorder.only("judge confidence").events[0].attributes or {})
    assert confidence[semconv.GEN_AI_EVALUATION_SCORE_LABEL] == "abstained"
    assert semconv.GEN_AI_EVALUATION_SCORE_VALUE not in confidence


async def test_a_failed_judge_has_a_failed_span_and_no_evaluation(tmp_path: Path) -> None:
    recorder = record_telemetry()
    model = ScriptedModel("big", ServerFault("boom", model="big"))
    async with judging(judge_settings(tmp_path, (*LOCAL, RUBRIC)), model, telemetry=recorder.telemetry) as stub:
        await stub.Judge(judge_request("Paris"))
    span = recorder.only("judge llm")
    assert span.status.status_code.name == "ERROR"
    assert (span.attributes or {})[semconv.EMAFUSION_JUDGE_STATE] == "failed"
    assert span.events == ()


async def test_prompts_and_answers_stay_out_of_telemetry(tmp_path: Path) -> None:
    recorder = record_telemetry()
    model = ScriptedModel("big", GOOD)
    async with judging(judge_settings(tmp_path, (*LOCAL, RUBRIC)), model, telemetry=recorder.telemetry) as stub:
        await stub.Judge(judge_request("Lutetia Parisiorum"))
    told = "".join(span.to_json() for span in recorder.spans)
    assert "Lutetia" not in told
    assert "capital" not in told


async def test_outcomes_and_durations_are_counted() -> None:
    recorder = record_telemetry()
    ticks = iter([1.0, 3.5])
    judge = InstrumentedJudge(
        ScriptedJudge("llm", score=0.9),
        tracer=recorder.telemetry.tracer,
        instruments=JudgeInstruments.of(recorder.telemetry.meter),
        clock=lambda: next(ticks),
    )
    assert (await judge.judge(case())).score == 0.9
    metrics = recorder.metrics()
    (point,) = metrics[semconv.METRIC_JUDGE_OUTCOMES].data.data_points
    assert dict(point.attributes or {}) == {
        semconv.EMAFUSION_JUDGE_NAME: "llm",
        semconv.EMAFUSION_JUDGE_KIND: "llm",
        semconv.EMAFUSION_JUDGE_STATE: "scored",
    }
    (duration,) = metrics[semconv.METRIC_JUDGE_DURATION].data.data_points
    assert getattr(duration, "sum", None) == pytest.approx(2.5)


async def test_an_unforeseen_error_is_logged_in_full_and_shown_without_its_text(caplog: pytest.LogCaptureFixture) -> None:
    recorder = record_telemetry()
    judge = InstrumentedJudge(
        ScriptedJudge("llm", error=KeyError("inner detail")),
        tracer=recorder.telemetry.tracer,
        instruments=JudgeInstruments.of(recorder.telemetry.meter),
        clock=lambda: 0.0,
    )
    with pytest.raises(JudgeFailed) as caught:
        await judge.judge(case())
    assert "inner detail" not in str(caught.value)
    assert "inner detail" in caplog.text
    assert (recorder.only("judge llm").attributes or {})[semconv.ERROR_TYPE] == "KeyError"
