"""How the command line fails: known errors become a sentence, a hint and an exit code; tracebacks are for unknown errors only."""

from __future__ import annotations

from enum import IntEnum

from emafusion_client.errors import Cancelled, DeadlineExceeded, EmafusionError, IncompleteStream, InvalidRequest, NotFound, Unavailable

from emafusion_cli.catalogue import UnknownWeights
from emafusion_cli.weights import WeightsError
from servicekit.settings.load import ConfigurationError


class ExitCode(IntEnum):
    """Exit codes of every command."""

    DONE = 0
    FAILED = 1
    WRONG_INPUT = 2
    UNREACHABLE = 3
    OUT_OF_TIME = 4
    INTERRUPTED = 130


class CommandFailed(Exception):
    """A command can't do what it was asked to. ``hint`` says what to do about it."""

    def __init__(self, message: str, *, hint: str = "", exit_code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(message)
        self.message, self.hint, self.exit_code = message, hint, exit_code


KNOWN = (CommandFailed, ConfigurationError, WeightsError, UnknownWeights, EmafusionError)
"""What ``explain`` can explain."""


def explain(error: Exception) -> CommandFailed:
    """``error``, one of ``KNOWN``, as it is told to the user."""
    match error:
        case CommandFailed():
            return error
        case ConfigurationError() | UnknownWeights():
            return CommandFailed(str(error), exit_code=ExitCode.WRONG_INPUT)
        case EmafusionError():
            return _explain_call(error)
        case _:
            return CommandFailed(str(error))


def _explain_call(error: EmafusionError) -> CommandFailed:
    reason = f" [{error.reason}]" if error.reason else ""
    details = error.details
    violations = [*details.field_violations, *details.precondition_violations, *details.quota_violations]
    # A lone violation is what the message says already.
    lines = "".join(f"\n  {each.subject}: {each.description}" for each in violations if each.description not in error.message)
    hint, exit_code = _advice(error)
    return CommandFailed(f"{error.message}{reason}{lines}", hint=hint, exit_code=exit_code)


def _advice(error: EmafusionError) -> tuple[str, ExitCode]:
    match error:
        case InvalidRequest() | NotFound():
            return "", ExitCode.WRONG_INPUT
        case Unavailable() if not error.reason:
            return "Are the services running? `emafusion up` starts them, `emafusion doctor` says what is missing.", ExitCode.UNREACHABLE
        case Unavailable() | IncompleteStream() | Cancelled():
            return _retry_hint(error), ExitCode.UNREACHABLE
        case DeadlineExceeded():
            return "Give it more time with --timeout.", ExitCode.OUT_OF_TIME
        case _:
            return _retry_hint(error), ExitCode.FAILED


def _retry_hint(error: EmafusionError) -> str:
    return "" if error.retry_after_s is None else f"Try again in {error.retry_after_s:g} seconds."
