"""What the judge service's errors look like to callers.

Requests are held against the rules before the panel sees them, and what goes wrong with a single judge is part of the verdict; so
the shared rows (invalid fields, overload, deadline, cancellation) are all there is.
"""

from __future__ import annotations

from servicekit.errors import ErrorTable


def error_table() -> ErrorTable:
    """The one table of the service."""
    return ErrorTable()
