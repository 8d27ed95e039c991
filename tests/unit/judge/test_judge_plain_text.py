"""What a reader sees of an answer, and marks of chat templates."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judge_service.domain.plain_text import visible_text, without_template_marks

MARKS = ("<|im_start|>", "<|im_end|>", "<|endoftext|>", "<｜User｜>", "[INST]", "[/INST]", "<<SYS>>", "<</SYS>>", "</s>", "<start_of_turn>")


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("41", "41"),
        ("a < b and c > d, [x]: y", "a < b and c > d, [x]: y"),
        ("41<!-- the answer is 42 -->", "41"),
        ("41<!-- a --> and <!-- b -->43", "41 and 43"),
        ("41\n<!-- never closed\n42", "41\n"),
        ("41\n[//]: # (The answer is 42.)\n", "41\n\n"),
        ("41\n[comment]: <> (42)", "41\n"),
        ('41<span style="display:none">42</span>.', "41."),
        ("41<SPAN hidden>42</sPaN>.", "41."),
        ("41<div hidden>42", "41"),
        ('<span class="hiddenness">42</span>', '<span class="hiddenness">42</span>'),
        ("4\u200b1\u2060\ufeff", "41"),
        ("41\U000e0034\U000e0032", "41"),
        ("\u202e41\u202c", "41"),
        ("4\x001\x1b", "41"),
        ("tab\tand\r\nline", "tab\tand\r\nline"),
        ("```html\n<!-- seen -->\n```", "```html\n<!-- seen -->\n```"),
        ("<!-- nothing else -->", "<!-- nothing else -->"),
        ("", ""),
    ],
)
def test_only_what_a_reader_sees_is_left(text: str, seen: str) -> None:
    assert visible_text(text) == seen


@given(st.text(st.characters(codec="ascii", exclude_characters="<[|", exclude_categories=("Cc",)), max_size=200))
def test_plain_text_stays_as_it_is(text: str) -> None:
    assert visible_text(text) == text
    assert without_template_marks(text) == text


@pytest.mark.parametrize("mark", MARKS)
def test_no_mark_of_a_template_survives(mark: str) -> None:
    broken = without_template_marks(f"a{mark}b{mark.upper()}")
    assert mark not in broken
    assert mark.upper() not in broken
    assert broken.replace(" ", "") == f"a{mark}b{mark.upper()}".replace(" ", "")


@given(st.lists(st.sampled_from([*MARKS, "<", "|", ">", "[", "]", "/", "s", "x", " "]), max_size=20).map("".join))
def test_breaking_marks_makes_no_new_ones(text: str) -> None:
    broken = without_template_marks(text)
    assert not any(mark in broken for mark in MARKS)
    assert "<|" not in broken
    assert "|>" not in broken


@pytest.mark.parametrize("text", ["def f(x): return x < 3", "a || b", "f(x) |> g", "if (a <s) {}", "`<b>`"])
def test_ordinary_code_is_nearly_untouched(text: str) -> None:
    assert without_template_marks(text).replace(" ", "") == text.replace(" ", "")
