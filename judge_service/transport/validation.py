"""What a request must look like. Every problem names its field, what was found there, and what is allowed.

Answers to be judged may hold anything, control characters included: what a model wrote is for the judges to find fault with.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from emafusion.common.v1 import chat_pb2, usage_pb2
from emafusion.judge.v1 import judge_service_pb2

from servicekit.errors import InvalidField, Reason
from servicekit.json_schemas import check_json_schema
from servicekit.settings.serving import LimitSettings
from servicekit.validation import check_all, check_count, check_known, check_messages, check_number, check_text

ID_CHARS_MAX = 64
MODEL_CHARS_MAX = 128
PEERS_MAX = 16
JUDGES_MAX = 32
LOGPROB_MIN = -1e9
"""Below any log-probability that a provider reports for a token that was written."""
INT64_MAX = 2**63 - 1

_Check = Callable[[], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRules:
    """What requests are held against: bounds of their content, and the judges that can be asked."""

    limits: LimitSettings
    judges: Collection[str]
    candidates_max: int

    def check_judge(self, request: judge_service_pb2.JudgeRequest, *, prefix: str = "") -> None:
        """Raises ``InvalidField`` or ``InvalidFields``. ``prefix`` leads to the request, such as ``request.``."""
        check_all(
            lambda: check_messages(f"{prefix}messages", request.messages, self.limits),
            lambda: check_count(f"{prefix}candidates", request.candidates, low=1, high=self.candidates_max),
            lambda: check_count(f"{prefix}peers", request.peers, high=PEERS_MAX),
            *self._candidate_checks(prefix, request),
            lambda: _check_ids(prefix, request),
            lambda: _check_output(f"{prefix}output", request.output),
            lambda: self._check_panel(f"{prefix}panel", request.panel),
        )

    def check_stream_judge(self, request: judge_service_pb2.StreamJudgeRequest) -> None:
        """Raises ``InvalidField`` or ``InvalidFields``."""
        if not request.HasField("request"):
            raise InvalidField("request", "not set", "a request")
        self.check_judge(request.request, prefix="request.")

    def _candidate_checks(self, prefix: str, request: judge_service_pb2.JudgeRequest) -> list[_Check]:
        return [
            self._candidate_check(f"{prefix}{name}[{index}]", candidate)
            for name, answers in (("candidates", request.candidates), ("peers", request.peers))
            for index, candidate in enumerate(answers)
        ]

    def _candidate_check(self, field: str, candidate: judge_service_pb2.Candidate) -> _Check:
        def check() -> None:
            check_all(
                lambda: check_text(f"{field}.id", candidate.id, chars_max=ID_CHARS_MAX),
                lambda: self._check_answer(f"{field}.text", candidate.text),
                lambda: check_text(f"{field}.model", candidate.model, chars_min=0, chars_max=MODEL_CHARS_MAX),
                lambda: _check_enum(f"{field}.finish_reason", candidate.finish_reason, usage_pb2.FinishReason.values()),
                lambda: _check_logprobs(f"{field}.logprobs", candidate),
                lambda: check_number(f"{field}.predicted_quality", candidate.predicted_quality, low=0.0, high=1.0),
            )

        return check

    def _check_answer(self, field: str, text: str) -> None:
        if len(text) > self.limits.candidate_chars_max:
            raise InvalidField(field, f"{len(text):,} characters long", f"up to {self.limits.candidate_chars_max:,} characters")

    def _check_panel(self, field: str, panel: judge_service_pb2.Panel) -> None:
        check_all(
            lambda: check_count(f"{field}.judges", panel.judges, high=JUDGES_MAX),
            *(self._judge_check(f"{field}.judges[{index}]", name, panel.judges[:index]) for index, name in enumerate(panel.judges)),
            lambda: _check_optional(panel, f"{field}.accept_threshold"),
            lambda: _check_cost(panel, f"{field}.cost_max_nano_usd"),
        )

    def _judge_check(self, field: str, name: str, before: Sequence[str]) -> _Check:
        def check() -> None:
            check_known(field, name, self.judges, reason=Reason.UNKNOWN_JUDGE)
            if name in before:
                raise InvalidField(field, f"`{name}` again", "each judge once")

        return check


def _check_optional(panel: judge_service_pb2.Panel, field: str) -> None:
    if panel.HasField("accept_threshold"):
        check_number(field, panel.accept_threshold, low=0.0, high=1.0)


def _check_cost(panel: judge_service_pb2.Panel, field: str) -> None:
    if panel.HasField("cost_max_nano_usd"):
        check_number(field, panel.cost_max_nano_usd, low=0, high=INT64_MAX)


def _check_ids(prefix: str, request: judge_service_pb2.JudgeRequest) -> None:
    """Ids are unique over candidates and peers together; the second use is at fault."""
    seen: dict[str, str] = {}
    for name, answers in (("candidates", request.candidates), ("peers", request.peers)):
        for index, candidate in enumerate(answers):
            place = f"{prefix}{name}[{index}]"
            if candidate.id and candidate.id in seen:
                raise InvalidField(f"{place}.id", f"the same as that of {seen[candidate.id]}", "an id that is unique in the request")
            seen[candidate.id] = place


def _check_logprobs(field: str, candidate: judge_service_pb2.Candidate) -> None:
    if not candidate.HasField("logprobs"):
        return
    figures = candidate.logprobs
    check_all(
        lambda: check_number(f"{field}.tokens", figures.tokens, low=1, high=2**32 - 1),
        lambda: check_number(f"{field}.mean", figures.mean, low=LOGPROB_MIN, high=0.0),
        lambda: check_number(f"{field}.min", figures.min, low=LOGPROB_MIN, high=0.0),
        lambda: check_number(f"{field}.share_uncertain", figures.share_uncertain, low=0.0, high=1.0),
        lambda: check_number(f"{field}.first", figures.first, low=LOGPROB_MIN, high=0.0),
    )


def _check_output(field: str, output: chat_pb2.OutputContract) -> None:
    _check_enum(f"{field}.kind", output.kind, chat_pb2.OutputContract.Kind.values())
    if not output.json_schema:
        return
    place = f"{field}.json_schema"
    if output.kind != chat_pb2.OutputContract.KIND_JSON:
        raise InvalidField(place, "set", "empty unless `kind` is KIND_JSON")
    check_json_schema(place, output.json_schema)


def _check_enum(field: str, value: int, known: Collection[int]) -> None:
    if value not in known:
        raise InvalidField(field, value, f"one of {', '.join(str(number) for number in sorted(known))}")
