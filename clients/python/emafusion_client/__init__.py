"""Typed async client of the three services.

``EmafusionClient`` makes calls, ``Event`` is what a streamed answer consists of, ``Transcript`` folds events to text, and
``EmafusionError`` is the root of everything that can go wrong.
"""

from emafusion_client.channel import Tls
from emafusion_client.client import EmafusionClient
from emafusion_client.errors import EmafusionError, IncompleteStream
from emafusion_client.events import Event
from emafusion_client.requests import Question
from emafusion_client.transcript import Transcript

__all__ = ["EmafusionClient", "EmafusionError", "Event", "IncompleteStream", "Question", "Tls", "Transcript"]
