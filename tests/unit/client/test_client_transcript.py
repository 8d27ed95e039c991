"""The transcript rebuilds the text from any stream of events."""

from __future__ import annotations

from emafusion_client import Transcript
from emafusion_client.events import AttemptStarted, Committed, Delta, Event, Retracted
from hypothesis import given
from hypothesis import strategies as st


def _fold(*events: Event) -> Transcript:
    transcript = Transcript()
    for event in events:
        transcript.apply(event)
    return transcript


def test_deltas_are_visible_but_not_final_until_committed() -> None:
    transcript = _fold(Delta(attempt=0, sequence=1, text="Pa"), Delta(attempt=0, sequence=2, text="ris"))
    assert (transcript.committed, transcript.visible) == ("", "Paris")
    transcript.apply(Committed(attempt=0, through_sequence=1))
    assert (transcript.committed, transcript.visible) == ("Pa", "Paris")


def test_retracted_text_disappears_and_never_becomes_final() -> None:
    transcript = _fold(
        AttemptStarted(attempt=0, tier=0, model="small"),
        Delta(attempt=0, sequence=1, text="London"),
        Retracted(attempt=0, from_sequence=1),
        Delta(attempt=1, sequence=2, text="Paris"),
        Committed(attempt=1, through_sequence=2),
    )
    assert (transcript.committed, transcript.visible) == ("Paris", "Paris")


def test_committing_one_attempt_leaves_the_others_provisional() -> None:
    transcript = _fold(
        Delta(attempt=0, sequence=1, text="a"), Delta(attempt=1, sequence=2, text="b"), Committed(attempt=1, through_sequence=2)
    )
    assert (transcript.committed, transcript.visible) == ("b", "ba")


@given(st.lists(st.tuples(st.text(min_size=1, max_size=3), st.booleans()), max_size=12))
def test_what_is_committed_is_a_prefix_of_all_that_follows(pieces: list[tuple[str, bool]]) -> None:
    transcript, before = Transcript(), ""
    for sequence, (text, commit) in enumerate(pieces, start=1):
        transcript.apply(Delta(attempt=0, sequence=sequence, text=text))
        if commit:
            transcript.apply(Committed(attempt=0, through_sequence=sequence))
        assert transcript.committed.startswith(before)
        assert transcript.visible.startswith(transcript.committed)
        before = transcript.committed
    assert transcript.visible == "".join(text for text, _ in pieces)
