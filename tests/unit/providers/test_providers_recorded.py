"""The replay of recorded answers, on a small recording made here and, where a data directory is given, on the real one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.errors import DeadlineReached, MalformedResponse, NotRecorded
from providers.port import ChatMessage, ChatRequest, Chunk, Finished, FinishReason, Role, Usage
from providers.recorded import RecordedModel, _pieces
from providers.recording import Recording
from tests.support.chat_models import ask, card
from tests.support.models import collect

pa: Any = pytest.importorskip("pyarrow", reason="needs the extra `recorded`")
pq: Any = pytest.importorskip("pyarrow.parquet")

QUESTIONS = [
    {"question_id": "q1", "question": "Sky?", "prompt": "Answer briefly.\n\nSky?"},
    {"question_id": "q2", "question": "Sum?", "prompt": "Answer at length.\n\nSum?"},
    {"question_id": "q3", "question": "Sky?", "prompt": "Answer as JSON.\n\nSky?"},
]
ANSWERS = [
    {"question_id": "q1", "model": "big", "response": "The sky is blue.", "prompt_tokens": 9, "completion_tokens": 5},
    {"question_id": "q1", "model": "other", "response": "Grey.", "prompt_tokens": 9, "completion_tokens": 2},
    {"question_id": "q2", "model": "big", "response": "x" * 100, "prompt_tokens": 7, "completion_tokens": 50, "reasoning_tokens_est": 10},
    {"question_id": "q3", "model": "big", "response": '{"sky": "bl', "prompt_tokens": 8, "completion_tokens": 6, "truncated": True},
]


def write_recording(folder: Path, answers: Sequence[Mapping[str, object]] = ANSWERS) -> Path:
    path = folder / "responses.parquet"
    blank = {"reasoning_tokens_est": 0, "truncated": False}
    pq.write_table(pa.Table.from_pylist([{**blank, **row} for row in answers]), path)
    pq.write_table(pa.Table.from_pylist(QUESTIONS), folder / "questions.parquet")
    return path


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    return Recording(write_recording(tmp_path))


class Naps:
    def __init__(self) -> None:
        self.total_s = 0.0
        self.count = 0

    async def sleep(self, seconds: float) -> None:
        self.total_s += seconds
        self.count += 1


def replay(
    recording: Recording, model: str = "big", pace: float = 0.0, naps: Naps | None = None, max_output_tokens: int = 1_024
) -> RecordedModel:
    return RecordedModel(
        card(upstream_model=model, provider="recorded", max_output_tokens=max_output_tokens),
        recording,
        tokens_per_second=pace,
        sleep=(naps or Naps()).sleep,
    )


async def test_replays_the_answer_to_a_prompt_with_its_tokens(recording: Recording) -> None:
    text, finished = await collect(replay(recording).stream(ask("Answer briefly.\n\nSky?")))
    assert text == "The sky is blue."
    assert finished == Finished(
        finish_reason=FinishReason.STOP,
        usage=Usage(input_tokens=9, output_tokens=5),
        cost_nano_usd=9 * 2 + 5 * 6,
        response_id="q1",
        response_model="big",
    )


async def test_each_model_has_its_own_answer(recording: Recording) -> None:
    big, other = replay(recording), replay(recording, "other")
    answers = await asyncio.gather(*(collect(model.stream(ask("Answer briefly.\n\nSky?"))) for model in (big, other)))
    assert [text for text, _ in answers] == ["The sky is blue.", "Grey."]


async def test_finds_the_bare_question_the_whole_conversation_and_ignores_outer_white_space(recording: Recording) -> None:
    model = replay(recording)
    assert (await collect(model.stream(ask("Sky?"))))[1].response_id == "q1"
    assert (await collect(model.stream(ask("  Answer as JSON.\n\nSky?\n"))))[1].response_id == "q3"
    parts = (ChatMessage(Role.SYSTEM, "Answer as JSON."), ChatMessage(Role.USER, "Sky?"))
    whole = ChatRequest(messages=parts, max_output_tokens=64)
    assert (await collect(model.stream(whole)))[1].response_id == "q3"


async def test_an_unknown_prompt_or_model_is_not_recorded(recording: Recording) -> None:
    model, unknown = replay(recording), replay(recording, "unknown")
    with pytest.raises(NotRecorded) as caught:
        await collect(model.stream(ask("Never asked")))
    assert caught.value.escalatable
    assert not caught.value.retryable
    assert "Never asked" not in str(caught.value)
    with pytest.raises(NotRecorded):
        await collect(unknown.stream(ask("Sky?")))


async def test_a_truncated_answer_ends_with_length(recording: Recording) -> None:
    _, finished = await collect(replay(recording).stream(ask("Answer as JSON.\n\nSky?")))
    assert finished.finish_reason is FinishReason.LENGTH


async def test_hidden_reasoning_is_paid_for_and_marked_as_an_estimate(recording: Recording) -> None:
    _, finished = await collect(replay(recording).stream(ask("Sum?")))
    assert finished.usage == Usage(input_tokens=7, output_tokens=60, estimated=True)
    assert finished.finish_reason is FinishReason.STOP


@pytest.mark.parametrize(("limit", "chars"), [(60, 100), (35, 50), (11, 2), (10, 0), (4, 0)])
async def test_the_token_limit_cuts_in_proportion(recording: Recording, limit: int, chars: int) -> None:
    text, finished = await collect(replay(recording).stream(ask("Sum?", max_output_tokens=limit)))
    assert len(text) == chars
    assert finished.usage.output_tokens == limit
    assert finished.finish_reason is (FinishReason.STOP if limit == 60 else FinishReason.LENGTH)


async def test_the_models_own_limit_holds_too(recording: Recording) -> None:
    _, finished = await collect(replay(recording, max_output_tokens=20).stream(ask("Sum?")))
    assert finished.usage.output_tokens == 20


async def test_the_pace(recording: Recording) -> None:
    naps = Naps()
    events = [event async for event in replay(recording, pace=100.0, naps=naps).stream(ask("Sum?"))]
    assert naps.total_s == pytest.approx(0.6)  # 10 of reasoning and 50 of text
    assert len([event for event in events if isinstance(event, Chunk)]) == 10
    assert naps.count == 11


async def test_the_callers_time_bounds_a_replay(recording: Recording) -> None:
    naps = Naps()
    model = replay(recording, pace=100.0, naps=naps)
    with pytest.raises(DeadlineReached):
        await collect(model.stream(ask("Sum?", timeout_s=0.32)))
    assert naps.total_s == pytest.approx(0.32)


@pytest.fixture
def broken(tmp_path: Path) -> Recording:
    path = write_recording(tmp_path)
    path.write_bytes(b"no parquet")
    return Recording(path)


async def test_a_broken_recording_is_named(broken: Recording) -> None:
    with pytest.raises(MalformedResponse, match=r"responses\.parquet"):
        await collect(replay(broken).stream(ask("Sky?")))


async def test_missing_columns_are_named(tmp_path: Path) -> None:
    path = write_recording(tmp_path)
    pq.write_table(pa.table({"question_id": ["q1"], "model": ["big"]}), path)
    with pytest.raises(MalformedResponse, match="response, prompt_tokens, completion_tokens"):
        await collect(replay(Recording(path)).stream(ask("Sky?")))


@given(text=st.text(max_size=200), tokens=st.integers(0, 100), chunk_tokens=st.integers(1, 40))
def test_pieces_are_the_text_in_order(text: str, tokens: int, chunk_tokens: int) -> None:
    pieces = list(_pieces(text, tokens, chunk_tokens))
    assert "".join(piece for _, piece in pieces) == text
    assert sum(count for count, _ in pieces) == tokens
    assert all(count <= chunk_tokens for count, _ in pieces)


@pytest.mark.recorded_data
def test_real_recordings(data_dir: Path) -> None:
    path = data_dir / "responses.parquet"
    questions = pq.read_table(data_dir / "questions.parquet", columns=["question_id", "prompt"]).to_pydict()
    prompts = dict(zip(questions["question_id"], questions["prompt"], strict=True))
    rows = next(pq.ParquetFile(path).iter_batches(batch_size=50, columns=["question_id", "model", "response"])).to_pylist()
    recording = Recording(path)
    models = {row["model"]: replay(recording, row["model"], max_output_tokens=65_536) for row in rows}

    async def answers() -> list[tuple[str, Finished]]:
        requests = [(models[row["model"]], ask(prompts[row["question_id"]], max_output_tokens=65_536)) for row in rows]
        return [await collect(model.stream(request)) for model, request in requests]

    # A prompt that was recorded under two questions is answered as under the first.
    found = [
        (row, text)
        for row, (text, finished) in zip(rows, asyncio.run(answers()), strict=True)
        if finished.response_id == row["question_id"]
    ]
    assert len(found) > 40
    assert all(text == row["response"] for row, text in found)
