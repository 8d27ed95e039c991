"""Questions to the panel that fit into one message and into the judge's own limits, whatever the models wrote.

The rule: a text that is too long keeps its first third and its last two thirds, because final answers stand at the end. Peers are cut to
`PEER_CHARS_MAX`, more than any judge reads of them; the candidate is cut only where the judge would refuse it. When the message is still
too large, peers are left out, the latest first.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from emafusion.judge.v1 import judge_service_pb2

from cascade_service.adapters.wire import joint_request_to_wire, judge_request_to_wire
from cascade_service.domain.ports import Answer, JointQuestion, JudgeQuestion

PEER_CHARS_MAX: Final = 12_000
_CUT: Final = "\n…\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeRoom:
    """What the judge takes: ``candidate_chars_max`` characters of a candidate and ``message_bytes_max`` bytes of a message."""

    candidate_chars_max: int
    message_bytes_max: int

    def request(self, question: JudgeQuestion) -> judge_service_pb2.JudgeRequest:
        """The question as it is sent. Only a conversation that alone is too large still makes a message that is too large."""
        peer_chars = min(PEER_CHARS_MAX, self.candidate_chars_max)
        fitted = replace(
            question,
            candidate=_cut(question.candidate, self.candidate_chars_max),
            peers=tuple(_cut(peer, peer_chars) for peer in question.peers),
        )
        request = judge_request_to_wire(fitted)
        while request.peers and request.ByteSize() > self.message_bytes_max:
            del request.peers[-1]
        return request

    def joint_request(self, question: JointQuestion) -> judge_service_pb2.JudgeRequest:
        """The question on several candidates; where they are too much together, each is cut as a peer would be."""
        request = judge_service_pb2.JudgeRequest()
        for chars_max in (self.candidate_chars_max, min(PEER_CHARS_MAX, self.candidate_chars_max)):
            candidates = tuple(_cut(candidate, chars_max) for candidate in question.candidates)
            request = joint_request_to_wire(replace(question, candidates=candidates))
            if request.ByteSize() <= self.message_bytes_max:
                break
        return request


def _cut(answer: Answer, chars_max: int) -> Answer:
    text = answer.text
    if len(text) <= chars_max:
        return answer
    room = max(chars_max - len(_CUT), 0)
    head = room // 3
    return replace(answer, text=(text[:head] + _CUT + text[len(text) - (room - head) :])[:chars_max])
