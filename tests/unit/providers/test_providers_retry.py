"""Retries: which failures, how often, how long the waits, and never after the first event."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.errors import (
    AuthenticationFailed,
    CircuitOpen,
    ConcurrencyExceeded,
    ConnectionBroken,
    ContentPolicyViolation,
    ContextTooLong,
    DeadlineReached,
    MalformedResponse,
    NotRecorded,
    Overloaded,
    ProviderError,
    ProviderTimeout,
    RateLimited,
    RequestRejected,
    ServerFault,
)
from providers.port import Chunk
from providers.retry import RetryingModel, RetryPolicy
from tests.support.chat_models import ask, model_at
from tests.support.models import ScriptedModel, collect
from tests.support.upstream import FakeUpstream, answers, fails, resets_after

POLICY = RetryPolicy(attempts_max=3, backoff_initial_s=0.2, backoff_max_s=5.0)


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def retrying(model: ScriptedModel, time: Time, policy: RetryPolicy = POLICY) -> RetryingModel:
    return RetryingModel(model, policy, sleep=time.sleep, uniform=lambda _low, high: high, clock=time)


@pytest.mark.parametrize("kind", [RateLimited, Overloaded, ServerFault, ProviderTimeout, ConnectionBroken])
async def test_failures_that_may_pass_are_retried(kind: type[ProviderError]) -> None:
    time = Time()
    model = ScriptedModel("m", kind("no", model="m"), kind("no", model="m"), "yes")
    assert (await collect(retrying(model, time).stream(ask())))[0] == "yes"
    assert time.slept == [0.2, 0.4]


@pytest.mark.parametrize(
    "kind",
    [
        AuthenticationFailed,
        RequestRejected,
        ContextTooLong,
        ContentPolicyViolation,
        MalformedResponse,
        CircuitOpen,
        ConcurrencyExceeded,
        DeadlineReached,
        NotRecorded,
    ],
)
async def test_other_failures_are_not(kind: type[ProviderError]) -> None:
    time = Time()
    model = ScriptedModel("m", kind("no", model="m"))
    with pytest.raises(kind):
        await collect(retrying(model, time).stream(ask()))
    assert time.slept == []
    assert len(model.requests) == 1


async def test_gives_up_after_the_last_attempt_with_the_last_error() -> None:
    time = Time()
    errors = [ServerFault(f"no {number}", model="m") for number in range(3)]
    model = ScriptedModel("m", *errors)
    with pytest.raises(ServerFault, match="no 2"):
        await collect(retrying(model, time).stream(ask()))
    model.assert_script_done()


async def test_never_after_the_first_event() -> None:
    time = Time()
    model = ScriptedModel("m", (Chunk("half"), ConnectionBroken("gone", model="m")), "never asked")
    events = retrying(model, time).stream(ask())
    assert await anext(events) == Chunk("half")
    with pytest.raises(ConnectionBroken):
        await anext(events)
    assert len(model.requests) == 1
    assert time.slept == []


async def test_retry_after_is_honoured() -> None:
    time = Time()
    model = ScriptedModel("m", RateLimited("no", model="m", retry_after_s=3.0), "yes")
    await collect(retrying(model, time).stream(ask()))
    assert time.slept == [3.0]


async def test_a_longer_retry_after_than_we_would_wait_gives_up() -> None:
    time = Time()
    model = ScriptedModel("m", RateLimited("no", model="m", retry_after_s=5.1))
    with pytest.raises(RateLimited):
        await collect(retrying(model, time).stream(ask()))
    assert time.slept == []


async def test_all_calls_share_the_time_of_the_request() -> None:
    time = Time()
    model = ScriptedModel("m", ServerFault("no", model="m"), "yes")
    await collect(retrying(model, time).stream(ask(timeout_s=1.0)))
    assert [request.timeout_s for request in model.requests] == [1.0, pytest.approx(0.8)]


async def test_no_wait_beyond_the_time_of_the_request() -> None:
    time = Time()
    model = ScriptedModel("m", RateLimited("no", model="m", retry_after_s=2.0))
    with pytest.raises(RateLimited):
        await collect(retrying(model, time).stream(ask(timeout_s=1.5)))
    assert time.slept == []


async def test_a_request_without_time_is_not_sent() -> None:
    model = ScriptedModel("m")
    with pytest.raises(DeadlineReached):
        await collect(retrying(model, Time()).stream(ask(timeout_s=0.0)))


async def test_over_http() -> None:
    time = Time()
    behaviours = (fails(429, retry_after="2"), fails(500), answers("yes"))
    async with FakeUpstream(*behaviours) as upstream, model_at(upstream) as model:
        wrapped = RetryingModel(model, POLICY, sleep=time.sleep, uniform=lambda _low, high: high, clock=time)
        assert (await collect(wrapped.stream(ask())))[0] == "yes"
    assert time.slept == [2.0, 0.4]
    assert upstream.requests[0].body == upstream.requests[2].body


async def test_a_reset_in_mid_stream_is_not_retried_over_http() -> None:
    time = Time()
    async with FakeUpstream(resets_after("half")) as upstream, model_at(upstream) as model:
        wrapped = RetryingModel(model, POLICY, sleep=time.sleep, clock=time)
        with pytest.raises(ConnectionBroken):
            await collect(wrapped.stream(ask()))
    assert len(upstream.requests) == 1


@given(
    attempt=st.integers(1, 5),
    retry_after_s=st.none() | st.floats(0.0, 100.0),
    share=st.floats(0.0, 1.0),
    initial_s=st.floats(0.001, 10.0),
    max_s=st.floats(0.001, 10.0),
)
def test_waits_are_bounded(attempt: int, retry_after_s: float | None, share: float, initial_s: float, max_s: float) -> None:
    policy = RetryPolicy(attempts_max=4, backoff_initial_s=initial_s, backoff_max_s=max_s)
    error = RateLimited("no", model="m", retry_after_s=retry_after_s)
    wait_s = policy.wait_s(error, attempt=attempt, uniform=lambda low, high: low + share * (high - low))
    if attempt >= 4 or (retry_after_s or 0.0) > max_s:
        assert wait_s is None
    else:
        assert wait_s is not None
        assert max(retry_after_s or 0.0, 0.0) <= wait_s <= max_s * (1 + 1e-9)
