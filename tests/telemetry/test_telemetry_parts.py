"""A compound request is one trace with one span per part, and what is done for a part stands below its span."""

from __future__ import annotations

from pathlib import Path

from opentelemetry.sdk.metrics.export import NumberDataPoint

from servicekit import semconv
from tests.support.cascade_served import FakeJudge, cascade_world, question
from tests.support.spans import record_telemetry
from tests.support.upstream import FakeUpstream, answers, fails

# The second part refers back, so the parts come one after the other and the tree has one order.
QUESTION = "1. What is a zyxomorphic gribble?\n2. Does it have knees?"
EXPECTED = """
CLIENT emafusion.cascade.v1.CascadeService/StreamComplete
  SERVER emafusion.cascade.v1.CascadeService/StreamComplete
    INTERNAL part 0
      CLIENT emafusion.router.v1.RouterService/Route
        SERVER emafusion.router.v1.RouterService/Route
      CLIENT chat small emafusion.cascade.attempt=0
      CLIENT emafusion.judge.v1.JudgeService/Judge
        SERVER emafusion.judge.v1.JudgeService/Judge
    INTERNAL part 1
      CLIENT emafusion.router.v1.RouterService/Route
        SERVER emafusion.router.v1.RouterService/Route
      CLIENT chat small emafusion.cascade.attempt=1
      CLIENT emafusion.judge.v1.JudgeService/Judge
        SERVER emafusion.judge.v1.JudgeService/Judge
""".strip()
METHOD = "emafusion.cascade.v1.CascadeService/StreamComplete"


async def test_every_part_has_a_span_with_its_work_below(tmp_path: Path) -> None:
    recorder = record_telemetry("cascade_service")
    async with cascade_world(tmp_path, {"small": FakeUpstream(default=answers("quixotane"))}, telemetry=recorder.telemetry) as world:
        await world.stream(question(QUESTION, decompose={}))
    assert recorder.tree(attributes=[semconv.EMAFUSION_CASCADE_ATTEMPT]) == EXPECTED
    outcomes = [(recorder.only(f"part {part}").attributes or {})[semconv.EMAFUSION_CASCADE_OUTCOME] for part in (0, 1)]
    assert outcomes == ["accepted", "accepted"]
    kinds = [(recorder.only(f"part {part}").attributes or {})[semconv.EMAFUSION_CASCADE_POLICY_KIND] for part in (0, 1)]
    assert kinds == ["threshold", "threshold"]
    server = recorder.only(METHOD, kind="SERVER")
    assert (server.attributes or {})[semconv.EMAFUSION_CASCADE_PARTS] == 2
    assert server.events[0].name == semconv.EVENT_CASCADE_DECOMPOSED
    routed = [event.attributes or {} for event in server.events if event.name == semconv.EVENT_CASCADE_ROUTED]
    assert [attributes[semconv.EMAFUSION_CASCADE_PART] for attributes in routed] == [0, 1]
    everything = "".join(span.to_json() for span in recorder.spans)
    assert not any(word in everything for word in ("zyxomorphic", "knees", "quixotane"))
    (attempts,) = recorder.metrics()[semconv.METRIC_CASCADE_ATTEMPTS].data.data_points
    assert isinstance(attempts, NumberDataPoint)
    assert attempts.value == 2


async def test_a_part_that_fails_says_so_and_the_request_does_not(tmp_path: Path) -> None:
    recorder = record_telemetry("cascade_service")
    upstream = FakeUpstream(answers("quixotane"), fails(500))
    async with cascade_world(tmp_path, {"small": upstream}, judge=FakeJudge(), telemetry=recorder.telemetry) as world:
        await world.stream(question(QUESTION, decompose={}))
    failed = recorder.only("part 1").attributes or {}
    assert failed[semconv.EMAFUSION_CASCADE_OUTCOME] == "failed"
    assert failed[semconv.EMAFUSION_ERROR_REASON] == "ALL_ATTEMPTS_FAILED"
    assert (recorder.only(METHOD, kind="SERVER").attributes or {})[semconv.EMAFUSION_CASCADE_OUTCOME] == "accepted"
