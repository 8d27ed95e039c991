"""Questions to the panel always fit into a message, and keep what judges read of long answers."""

from __future__ import annotations

from cascade_service.adapters.judge_room import PEER_CHARS_MAX, JudgeRoom
from cascade_service.domain.chat import FinishReason, Message, OutputContract, Role
from cascade_service.domain.ports import Answer, JudgeQuestion
from servicekit.settings.serving import LimitSettings, ServerSettings

LIMITS, SERVER = LimitSettings(), ServerSettings()
ROOM = JudgeRoom(candidate_chars_max=LIMITS.candidate_chars_max, message_bytes_max=SERVER.message_bytes_max)
WIDE = "𝔘"
"""Four bytes in UTF-8, the most that a character takes."""


def answer(number: int, text: str) -> Answer:
    return Answer(id=f"a{number}", text=text, model="m", finish_reason=FinishReason.STOP)


def asked(*texts: str, conversation: str = "?") -> JudgeQuestion:
    candidate, *peers = (answer(number, text) for number, text in enumerate(texts))
    return JudgeQuestion(
        messages=(Message(role=Role.USER, content=conversation),),
        candidate=candidate,
        peers=tuple(peers),
        output=OutputContract(),
        accept_threshold=0.5,
        cost_max_nano_usd=1,
    )


def test_what_fits_is_sent_as_it_is() -> None:
    request = ROOM.request(asked("x" * LIMITS.candidate_chars_max, "41", "y" * PEER_CHARS_MAX))
    assert len(request.candidates[0].text) == LIMITS.candidate_chars_max
    assert [peer.text for peer in request.peers] == ["41", "y" * PEER_CHARS_MAX]


def test_a_long_peer_keeps_its_beginning_and_its_end() -> None:
    (peer,) = ROOM.request(asked("42", "begin" + "x" * 1_000_000 + "The answer is 41.")).peers
    assert len(peer.text) == PEER_CHARS_MAX
    assert peer.text.startswith("begin")
    assert peer.text.endswith("The answer is 41.")


def test_a_candidate_is_cut_to_what_the_judge_takes() -> None:
    (candidate,) = ROOM.request(asked("x" * 1_000_000 + "42")).candidates
    assert len(candidate.text) == LIMITS.candidate_chars_max
    assert candidate.text.endswith("42")


def test_by_default_the_largest_question_fits_with_all_peers() -> None:
    request = ROOM.request(asked(*[WIDE * 1_000_000] * 16, conversation=WIDE * LIMITS.conversation_chars_max))
    assert len(request.peers) == 15
    assert request.ByteSize() <= SERVER.message_bytes_max


def test_peers_give_way_where_messages_are_small_and_the_earliest_stay() -> None:
    room = JudgeRoom(candidate_chars_max=100, message_bytes_max=1_024)
    request = room.request(asked(*["x" * 500] * 16))
    assert request.ByteSize() <= 1_024
    assert [peer.id for peer in request.peers] == [f"a{number}" for number in range(1, len(request.peers) + 1)]
    assert 0 < len(request.peers) < 15
