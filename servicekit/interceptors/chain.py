"""The interceptors of every server, in the order in which a call passes them.

trace is outermost, so that everything below runs inside the span; access_log and errors see what any later one raises; auth refuses
before a call takes up a place; deadline covers the wait for admission; admission is next to the handler.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from opentelemetry.metrics import Meter
from opentelemetry.trace import Tracer

from servicekit.access import NO_ACCESS_RULES, AccessRules
from servicekit.errors import ErrorTable
from servicekit.interceptors.access_log import AccessLogInterceptor
from servicekit.interceptors.admission import AdmissionInterceptor
from servicekit.interceptors.auth import AuthInterceptor
from servicekit.interceptors.base import NamedInterceptor
from servicekit.interceptors.deadline import DeadlineInterceptor
from servicekit.interceptors.errors import ErrorsInterceptor
from servicekit.interceptors.trace import TraceInterceptor
from servicekit.keys import KeyRing
from servicekit.settings.serving import ServerSettings

ORDER: Final = ("trace", "access_log", "errors", "auth", "deadline", "admission")


@dataclass(frozen=True, slots=True)
class Chain:
    """The interceptors, the one among them that ends calls when the server shuts down, and the keys that one asks for."""

    interceptors: tuple[NamedInterceptor, ...]
    deadline: DeadlineInterceptor
    keys: KeyRing | None


def build_chain(
    settings: ServerSettings,
    *,
    errors: ErrorTable,
    tracer: Tracer,
    meter: Meter,
    access: AccessRules = NO_ACCESS_RULES,
    keys: KeyRing | None = None,
) -> Chain:
    """The interceptors of a server. Must run inside the event loop. ``keys`` are asked for when there are any."""
    deadline = DeadlineInterceptor(default_s=settings.default_deadline_ms / 1e3, max_s=settings.deadline_max_ms / 1e3)
    interceptors = (
        TraceInterceptor(tracer, meter),
        AccessLogInterceptor(),
        ErrorsInterceptor(errors),
        AuthInterceptor(access, auth=settings.auth, ring=keys, now=lambda: datetime.now(UTC)),
        deadline,
        AdmissionInterceptor(
            in_flight_max=settings.in_flight_max, queue_max=settings.queue_max, queue_wait_max_s=settings.queue_wait_max_ms / 1e3
        ),
    )
    assert_order(interceptors)
    return Chain(interceptors, deadline, keys)


def assert_order(interceptors: Sequence[NamedInterceptor]) -> None:
    """Raises ValueError unless the interceptors are those of `ORDER`, in that order."""
    names = tuple(interceptor.name for interceptor in interceptors)
    if names != ORDER:
        raise ValueError(f"interceptors must be {' > '.join(ORDER)}, not {' > '.join(names)}")
