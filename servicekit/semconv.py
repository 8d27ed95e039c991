"""Every span, attribute, event and metric name of the suite.

``GEN_AI_*`` follow the OpenTelemetry GenAI conventions v1.41.0 and ``RPC_*`` the RPC conventions v1.44.0. They are copied here because both
are still changing and this file decides when we follow. ``EMAFUSION_*`` is our own namespace for what has no convention.
Telemetry names stand nowhere else; a test forbids the literals.
"""

from __future__ import annotations

from typing import Final

# --- GenAI: attributes of a call to a model -------------------------------------------------------------------------------------
GEN_AI_OPERATION_NAME: Final = "gen_ai.operation.name"
GEN_AI_PROVIDER_NAME: Final = "gen_ai.provider.name"
GEN_AI_REQUEST_MODEL: Final = "gen_ai.request.model"
GEN_AI_REQUEST_MAX_TOKENS: Final = "gen_ai.request.max_tokens"
GEN_AI_REQUEST_TEMPERATURE: Final = "gen_ai.request.temperature"
GEN_AI_REQUEST_TOP_P: Final = "gen_ai.request.top_p"
GEN_AI_REQUEST_SEED: Final = "gen_ai.request.seed"
GEN_AI_REQUEST_STOP_SEQUENCES: Final = "gen_ai.request.stop_sequences"
GEN_AI_REQUEST_STREAM: Final = "gen_ai.request.stream"
GEN_AI_RESPONSE_ID: Final = "gen_ai.response.id"
GEN_AI_RESPONSE_MODEL: Final = "gen_ai.response.model"
GEN_AI_RESPONSE_FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"
GEN_AI_USAGE_INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
GEN_AI_USAGE_OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
GEN_AI_TOKEN_TYPE: Final = "gen_ai.token.type"  # noqa: S105 - counts tokens of text
GEN_AI_INPUT_MESSAGES: Final = "gen_ai.input.messages"
"""Opt-in: set only when `telemetry.record_text` is on."""
GEN_AI_OUTPUT_MESSAGES: Final = "gen_ai.output.messages"
"""Opt-in: set only when `telemetry.record_text` is on."""

OPERATION_CHAT: Final = "chat"
"""Value of ``GEN_AI_OPERATION_NAME`` for every call to a model, and first word of its span's name."""
TOKEN_TYPE_INPUT: Final = "input"  # noqa: S105 - counts tokens of text
TOKEN_TYPE_OUTPUT: Final = "output"  # noqa: S105 - counts tokens of text

# --- GenAI: evaluation, one event per judge ---------------------------------------------------------------------------------------
EVENT_GEN_AI_EVALUATION_RESULT: Final = "gen_ai.evaluation.result"
GEN_AI_EVALUATION_NAME: Final = "gen_ai.evaluation.name"
GEN_AI_EVALUATION_SCORE_VALUE: Final = "gen_ai.evaluation.score.value"
GEN_AI_EVALUATION_SCORE_LABEL: Final = "gen_ai.evaluation.score.label"
GEN_AI_EVALUATION_EXPLANATION: Final = "gen_ai.evaluation.explanation"

# --- GenAI: metrics ---------------------------------------------------------------------------------------------------------------
METRIC_GEN_AI_TOKEN_USAGE: Final = "gen_ai.client.token.usage"  # noqa: S105 - counts tokens of text
"""Histogram, {token}."""
METRIC_GEN_AI_OPERATION_DURATION: Final = "gen_ai.client.operation.duration"
"""Histogram, seconds."""
METRIC_GEN_AI_TIME_TO_FIRST_CHUNK: Final = "gen_ai.client.operation.time_to_first_chunk"
"""Histogram, seconds."""

# --- General ----------------------------------------------------------------------------------------------------------------------
ERROR_TYPE: Final = "error.type"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
SERVICE_NAME: Final = "service.name"
SERVICE_NAMESPACE: Final = "service.namespace"
SERVICE_INSTANCE_ID: Final = "service.instance.id"

# --- RPC --------------------------------------------------------------------------------------------------------------------------
RPC_SYSTEM_NAME: Final = "rpc.system.name"
RPC_METHOD: Final = "rpc.method"
RPC_METHOD_OTHER: Final = "_OTHER"
"""Value of ``RPC_METHOD`` for a method that the server does not have: a name that callers choose would make a new series each."""
RPC_RESPONSE_STATUS_CODE: Final = "rpc.response.status_code"
RPC_SYSTEM_GRPC: Final = "grpc"
"""Value of ``RPC_SYSTEM_NAME``."""
METRIC_RPC_SERVER_CALL_DURATION: Final = "rpc.server.call.duration"
"""Histogram, seconds."""
METRIC_RPC_CLIENT_CALL_DURATION: Final = "rpc.client.call.duration"
"""Histogram, seconds."""

# --- Spans of our own -------------------------------------------------------------------------------------------------------------
SPAN_ENCODE: Final = "encode"
"""INTERNAL: one text through the sentence encoder, its wait for a batch included."""
SPAN_CLASSIFY: Final = "classify"
"""INTERNAL: taxonomy and plan."""
SPAN_PART: Final = "part"
"""INTERNAL: first word of the span of one part of a compound request; its number follows, from 0."""
SPAN_JUDGE: Final = "judge"
"""INTERNAL: first word of the span of one judge on one candidate; the judge's name follows."""

# --- Errors -----------------------------------------------------------------------------------------------------------------------
EMAFUSION_ERROR_REASON: Final = "emafusion.error.reason"
"""Reason of the error status that a server answered with, as in the error's ErrorInfo."""
EMAFUSION_CALLER_KEY_ID: Final = "emafusion.caller.key_id"
"""Id of the API key that the caller showed; never the key."""

# --- Cascade ----------------------------------------------------------------------------------------------------------------------
EMAFUSION_CASCADE_TIER: Final = "emafusion.cascade.tier"
"""Place of the model in the plan, 0 for the first."""
EMAFUSION_CASCADE_ATTEMPT: Final = "emafusion.cascade.attempt"
"""Number of the attempt in the request, 0 for the first, as in the stream of events."""
EMAFUSION_CASCADE_MODEL: Final = "emafusion.cascade.model"
EMAFUSION_CASCADE_FROM_MODEL: Final = "emafusion.cascade.from_model"
EMAFUSION_CASCADE_TO_MODEL: Final = "emafusion.cascade.to_model"
EMAFUSION_CASCADE_REASON: Final = "emafusion.cascade.reason"
EMAFUSION_CASCADE_CONFIDENCE: Final = "emafusion.cascade.confidence"
EMAFUSION_CASCADE_THRESHOLD: Final = "emafusion.cascade.threshold"
EMAFUSION_CASCADE_POLICY: Final = "emafusion.cascade.policy"
EMAFUSION_CASCADE_POLICY_KIND: Final = "emafusion.cascade.policy_kind"
"""`threshold` or `value`."""
EMAFUSION_CASCADE_ANSWER_WORTH_NANO_USD: Final = "emafusion.cascade.answer_worth_nano_usd"
"""What a right answer is worth, with a value policy."""
EMAFUSION_CASCADE_EXPECTED_GAIN: Final = "emafusion.cascade.expected_gain"
"""Of the step to the attempt, in right answers, before its own price; with a value policy."""
EMAFUSION_CASCADE_PRICE: Final = "emafusion.cascade.price"
"""Of the step to the attempt, in right answers; with a value policy."""
EMAFUSION_CASCADE_STOP_DETAIL: Final = "emafusion.cascade.stop_detail"
"""Why a value policy went no further, in words."""
EMAFUSION_CASCADE_SUPPORTING_ATTEMPTS: Final = "emafusion.cascade.supporting_attempts"
"""How many other answers say the same as the one given."""
EMAFUSION_CASCADE_POLICY_HASH: Final = "emafusion.cascade.policy_hash"
EMAFUSION_CASCADE_DELIVERY: Final = "emafusion.cascade.delivery"
EMAFUSION_CASCADE_OUTCOME: Final = "emafusion.cascade.outcome"
EMAFUSION_CASCADE_CEILING: Final = "emafusion.cascade.ceiling"
EMAFUSION_CASCADE_DECISION_ID: Final = "emafusion.cascade.decision_id"
EMAFUSION_CASCADE_ATTEMPTS: Final = "emafusion.cascade.attempts"
EMAFUSION_CASCADE_COST_NANO_USD: Final = "emafusion.cascade.cost_nano_usd"
EMAFUSION_CASCADE_PART: Final = "emafusion.cascade.part"
"""Number of the part of a compound request, 0 for the first."""
EMAFUSION_CASCADE_PARTS: Final = "emafusion.cascade.parts"
"""How many parts the request was split into, 0 when it was answered whole."""
EMAFUSION_CASCADE_SPLITTER: Final = "emafusion.cascade.splitter"
"""Who decided on that: `rules` or `model`."""

EVENT_CASCADE_DECOMPOSED: Final = "emafusion.cascade.decomposed"
EVENT_CASCADE_ROUTED: Final = "emafusion.cascade.routed"
EVENT_CASCADE_ESCALATED: Final = "emafusion.cascade.escalated"
EVENT_CASCADE_COMMITTED: Final = "emafusion.cascade.committed"
EVENT_CASCADE_RETRACTED: Final = "emafusion.cascade.retracted"

METRIC_CASCADE_REQUESTS: Final = "emafusion.cascade.requests"
METRIC_CASCADE_ATTEMPTS: Final = "emafusion.cascade.attempts"
METRIC_CASCADE_ESCALATIONS: Final = "emafusion.cascade.escalations"
METRIC_CASCADE_COST: Final = "emafusion.cascade.cost"
"""Counter, nano-USD."""
METRIC_CASCADE_TOKENS: Final = "emafusion.cascade.tokens"
"""Counter, tokens of attempts by type, input or output."""
METRIC_CASCADE_TOKENS_SAVED: Final = "emafusion.cascade.tokens_saved"
"""Counter, output tokens that breaking off attempts with a hopeless beginning saved, by model; an estimate."""
METRIC_CASCADE_TIME_TO_FIRST_DELTA: Final = "emafusion.cascade.time_to_first_delta"
"""Histogram, seconds: until the first text is shown, final or not."""
METRIC_CASCADE_TIME_TO_FIRST_COMMIT: Final = "emafusion.cascade.time_to_first_commit"
"""Histogram, seconds: until the first text is final."""

# --- Limits of callers ------------------------------------------------------------------------------------------------------------
EMAFUSION_QUOTA_SCOPE: Final = "emafusion.quota.scope"
"""Whose limit it is: `key:ID`, `keyless` or `service`."""
EMAFUSION_QUOTA_LIMIT: Final = "emafusion.quota.limit"
"""Name of the limit, as in the configuration."""
METRIC_QUOTA_REFUSED: Final = "emafusion.quota.refused"
METRIC_QUOTA_UNCOUNTED: Final = "emafusion.quota.uncounted"

# --- Decision store ---------------------------------------------------------------------------------------------------------------
METRIC_STORE_SPOOLED: Final = "emafusion.store.spooled"
"""Counter, entries written to the spool because the store was down."""
METRIC_STORE_REPLAYED: Final = "emafusion.store.replayed"
"""Counter, entries of the spool written to the store."""
METRIC_STORE_SPOOL_SIZE: Final = "emafusion.store.spool_size"
"""Gauge, bytes."""
METRIC_STORE_UP: Final = "emafusion.store.up"
"""Gauge, 1 while the decision store takes records, else 0."""

# --- Router -----------------------------------------------------------------------------------------------------------------------
EMAFUSION_ROUTER_KIND: Final = "emafusion.router.kind"
EMAFUSION_ROUTER_CLEAR: Final = "emafusion.router.clear"
EMAFUSION_ROUTER_PLAN_MODELS: Final = "emafusion.router.plan_models"
EMAFUSION_ROUTER_BATCH_SIZE: Final = "emafusion.router.batch_size"
EMAFUSION_ROUTER_INPUT_TOKENS: Final = "emafusion.router.input_tokens"
METRIC_ROUTER_PLANS: Final = "emafusion.router.plans"
METRIC_ROUTER_BATCH_SIZE: Final = "emafusion.router.batch_size"
METRIC_ROUTER_QUEUE_WAIT: Final = "emafusion.router.queue_wait"
"""Histogram, seconds."""

# --- Judge ------------------------------------------------------------------------------------------------------------------------
EMAFUSION_JUDGE_NAME: Final = "emafusion.judge.name"
EMAFUSION_JUDGE_KIND: Final = "emafusion.judge.kind"
EMAFUSION_JUDGE_STATE: Final = "emafusion.judge.state"
EMAFUSION_JUDGE_CANDIDATE_ID: Final = "emafusion.judge.candidate_id"
METRIC_JUDGE_OUTCOMES: Final = "emafusion.judge.outcomes"
METRIC_JUDGE_DURATION: Final = "emafusion.judge.duration"
"""Histogram, seconds."""

# --- Providers --------------------------------------------------------------------------------------------------------------------
EMAFUSION_PROVIDER_COST_NANO_USD: Final = "emafusion.provider.cost_nano_usd"
EMAFUSION_PROVIDER_USAGE_ESTIMATED: Final = "emafusion.provider.usage_estimated"
EMAFUSION_PROVIDER_RETRIES: Final = "emafusion.provider.retries"
EMAFUSION_PROVIDER_MODEL: Final = "emafusion.provider.model"
"""Our name of the model; ``GEN_AI_REQUEST_MODEL`` is the provider's."""
EMAFUSION_PROVIDER_WAIT_S: Final = "emafusion.provider.wait_s"
"""Seconds waited before a retry."""
EMAFUSION_PROVIDER_ENDPOINT: Final = "emafusion.provider.endpoint"
"""Place of the endpoint among those of its model, 0 for the first; never its address."""
EMAFUSION_PROVIDER_HEDGED: Final = "emafusion.provider.hedged"
"""Whether a second endpoint was asked because the first was slow."""
EMAFUSION_PROVIDER_HEDGE_WINNER: Final = "emafusion.provider.hedge_winner"
"""Which call of a hedged one answered: `first`, `rival`, or `none`."""
EMAFUSION_PROVIDER_BREAKER_STATE: Final = "emafusion.provider.breaker_state"
"""`closed`, `open` or `half_open`."""
EVENT_PROVIDER_RETRY: Final = "emafusion.provider.retry"
METRIC_PROVIDER_COST: Final = "emafusion.provider.cost"
"""Counter, nano-USD."""
METRIC_PROVIDER_HEDGES: Final = "emafusion.provider.hedges"
"""Counter, calls for which a second endpoint was asked, by model and by who answered."""
METRIC_PROVIDER_BREAKER_CHANGES: Final = "emafusion.provider.breaker_changes"
"""Counter, new states of circuit breakers, by model, endpoint and state."""

# --- Bucket boundaries of histograms ------------------------------------------------------------------------------------------------
SECONDS_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Durations of remote calls in seconds, as the RPC conventions advise."""
GENERATION_SECONDS_BUCKETS: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
"""Durations of work by language models in seconds, as the GenAI conventions advise."""
TOKEN_BUCKETS: Final = (1, 4, 16, 64, 256, 1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216, 67_108_864)
"""Token counts, as the GenAI conventions advise."""
