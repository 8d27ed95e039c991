from __future__ import annotations

import math
from typing import Any

import pytest
from emafusion.common.v1 import chat_pb2
from hypothesis import given
from hypothesis import strategies as st

from servicekit.errors import InvalidField, InvalidFields, Reason
from servicekit.settings.serving import LimitSettings
from servicekit.validation import check_all, check_generation, check_known, check_messages, check_number, check_text

LIMITS = LimitSettings(messages_max=3, message_chars_max=10, conversation_chars_max=15)
USER, ASSISTANT = chat_pb2.ROLE_USER, chat_pb2.ROLE_ASSISTANT


def message(content: str = "hello", role: Any = USER) -> chat_pb2.Message:
    return chat_pb2.Message(role=role, content=content)


def fields(error: InvalidField | InvalidFields) -> list[str]:
    return [error.field] if isinstance(error, InvalidField) else [problem.field for problem in error.problems]


@pytest.mark.parametrize(
    ("messages", "at_fault"),
    [
        ([], ["messages"]),
        ([message()] * 4, ["messages"]),
        ([message("")], ["messages[0].content"]),
        ([message("x" * 11)], ["messages[0].content"]),
        ([message(role=0)], ["messages[0].role"]),
        ([message(role=9)], ["messages[0].role"]),
        ([message("a\x00b")], ["messages[0].content"]),
        ([message("a\x7fb")], ["messages[0].content"]),
        ([message("x" * 8), message("x" * 8)], ["messages"]),
        ([message(), message(role=ASSISTANT)], ["messages[1].role"]),
        ([message("", role=0), message("x" * 11)], ["messages[0].role", "messages[0].content", "messages[1].content"]),
    ],
)
def test_a_bad_conversation_is_named_by_field(messages: list[chat_pb2.Message], at_fault: list[str]) -> None:
    with pytest.raises((InvalidField, InvalidFields)) as caught:
        check_messages("messages", messages, LIMITS)
    assert fields(caught.value) == at_fault


def test_a_good_conversation_passes() -> None:
    check_messages("messages", [message("a\t\r\n"), message("é🎉", role=ASSISTANT), message("ok")], LIMITS)


def test_the_prompt_is_never_quoted() -> None:
    with pytest.raises(InvalidField) as caught:
        check_messages("messages", [message("hunter2\x01")], LIMITS)
    assert "hunter2" not in str(caught.value)
    assert "U+0001 at position 7" in str(caught.value)


@given(st.text(max_size=200))
def test_a_text_passes_exactly_when_it_is_within_the_contract(text: str) -> None:
    good = 1 <= len(text) <= 100 and not any((ord(c) < 32 and c not in "\t\n\r") or ord(c) == 0x7F for c in text)
    try:
        check_text("f", text, chars_max=100)
    except InvalidField:
        assert not good
    else:
        assert good


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -0.1, 2.1])
def test_a_number_out_of_bounds_is_refused(value: float) -> None:
    with pytest.raises(InvalidField, match=r"`f` is .*; allowed: 0 up to 2"):
        check_number("f", value, low=0.0, high=2.0)


def test_an_open_bound_excludes_its_value() -> None:
    check_number("f", 0.0, low=0.0, high=1.0)
    with pytest.raises(InvalidField, match="allowed: above 0 up to 1"):
        check_number("f", 0.0, low=0.0, high=1.0, low_open=True)


def test_generation_parameters_that_were_not_sent_are_fine() -> None:
    check_generation("params", chat_pb2.GenerationParams())
    check_generation("params", chat_pb2.GenerationParams(max_output_tokens=65_536, temperature=0, top_p=1, stop=["a"] * 4))


@pytest.mark.parametrize(
    ("params", "at_fault"),
    [
        (chat_pb2.GenerationParams(max_output_tokens=0), ["params.max_output_tokens"]),
        (chat_pb2.GenerationParams(max_output_tokens=65_537), ["params.max_output_tokens"]),
        (chat_pb2.GenerationParams(temperature=math.nan), ["params.temperature"]),
        (chat_pb2.GenerationParams(top_p=0.0), ["params.top_p"]),
        (chat_pb2.GenerationParams(stop=["a"] * 5), ["params.stop"]),
        (chat_pb2.GenerationParams(stop=["ok", ""]), ["params.stop[1]"]),
        (chat_pb2.GenerationParams(temperature=3, top_p=2), ["params.temperature", "params.top_p"]),
    ],
)
def test_bad_generation_parameters_are_named(params: chat_pb2.GenerationParams, at_fault: list[str]) -> None:
    with pytest.raises((InvalidField, InvalidFields)) as caught:
        check_generation("params", params)
    assert fields(caught.value) == at_fault


def test_an_unknown_name_gets_a_suggestion_and_its_own_reason() -> None:
    check_known("model", "small", ["small"], reason=Reason.UNKNOWN_MODEL)
    with pytest.raises(InvalidField, match=r"'smal'; allowed: large, small \(nearest: small\)") as caught:
        check_known("model", "smal", ["small", "large"], reason=Reason.UNKNOWN_MODEL)
    assert caught.value.reason is Reason.UNKNOWN_MODEL


def test_problems_are_collected_but_bounded() -> None:
    def fail() -> None:
        raise InvalidField("f", 1, "2")

    check_all()
    with pytest.raises(InvalidField):
        check_all(fail)
    with pytest.raises(InvalidFields) as caught:
        check_all(*[fail] * 100)
    assert len(caught.value.problems) == 16
