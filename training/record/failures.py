"""What keeps a recording from being made."""

from __future__ import annotations


class RecordingFailed(Exception):
    """The recording can't go on. The text says what is wrong and what is allowed; ``wrong_input`` is false for what trying again mends."""

    def __init__(self, message: str, *, wrong_input: bool = True) -> None:
        super().__init__(message)
        self.wrong_input = wrong_input
