from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class Quota(_message.Message):
    __slots__ = ("scope", "requests_per_minute", "tokens_per_minute", "cost_max_nano_usd_per_day", "concurrent_requests", "requests_used", "tokens_used", "requests_running", "day", "requests_today", "tokens_today", "cost_nano_usd_today", "cost_nano_usd_held")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_PER_MINUTE_FIELD_NUMBER: _ClassVar[int]
    TOKENS_PER_MINUTE_FIELD_NUMBER: _ClassVar[int]
    COST_MAX_NANO_USD_PER_DAY_FIELD_NUMBER: _ClassVar[int]
    CONCURRENT_REQUESTS_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_USED_FIELD_NUMBER: _ClassVar[int]
    TOKENS_USED_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_RUNNING_FIELD_NUMBER: _ClassVar[int]
    DAY_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_TODAY_FIELD_NUMBER: _ClassVar[int]
    TOKENS_TODAY_FIELD_NUMBER: _ClassVar[int]
    COST_NANO_USD_TODAY_FIELD_NUMBER: _ClassVar[int]
    COST_NANO_USD_HELD_FIELD_NUMBER: _ClassVar[int]
    scope: str
    requests_per_minute: int
    tokens_per_minute: int
    cost_max_nano_usd_per_day: int
    concurrent_requests: int
    requests_used: int
    tokens_used: int
    requests_running: int
    day: str
    requests_today: int
    tokens_today: int
    cost_nano_usd_today: int
    cost_nano_usd_held: int
    def __init__(self, scope: _Optional[str] = ..., requests_per_minute: _Optional[int] = ..., tokens_per_minute: _Optional[int] = ..., cost_max_nano_usd_per_day: _Optional[int] = ..., concurrent_requests: _Optional[int] = ..., requests_used: _Optional[int] = ..., tokens_used: _Optional[int] = ..., requests_running: _Optional[int] = ..., day: _Optional[str] = ..., requests_today: _Optional[int] = ..., tokens_today: _Optional[int] = ..., cost_nano_usd_today: _Optional[int] = ..., cost_nano_usd_held: _Optional[int] = ...) -> None: ...
