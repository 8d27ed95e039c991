"""Lets in only those who may make the call."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, cast

from servicekit.access import AccessRules, check_caller
from servicekit.interceptors.base import IncomingCall, NamedInterceptor


class AuthInterceptor(NamedInterceptor):
    """Raises `AccessRefused` before a call takes up any place."""

    name = "auth"

    def __init__(self, rules: AccessRules) -> None:
        self._rules = rules

    @asynccontextmanager
    async def around(self, call: IncomingCall) -> AsyncGenerator[None]:
        """Checks, then runs the handler."""
        if self._rules.callers:
            # grpc.aio hands out lists of bytes by name, whatever its types say.
            check_caller(self._rules.callers, cast("Any", call.context).auth_context())
        yield
