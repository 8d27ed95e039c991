"""The judge's own model, served for the time of a measurement, and its probability of Yes to a prompt."""

from __future__ import annotations

import hashlib
import json
import random
import string
import subprocess
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, asynccontextmanager, contextmanager
from pathlib import Path

from judge_service.adapters.llm_judge import ALTERNATIVES
from judge_service.domain import rubric
from judge_service.domain.candidates import Case, Turn
from judge_service.domain.errors import UnreadableReply
from providers.build import build_models
from providers.port import ChatMessage, ChatModel, ChatRequest, Chunk, Role, TokenLogprob
from servicekit.settings.root import Settings
from servicekit.settings.secrets import SecretSource
from servicekit.telemetry import Telemetry

JUDGE = "qwen2.5-coder-1.5b"
CALL_TIMEOUT_S = 600.0
CONTEXT_TOKENS = 4096
STOP_S = 10.0


@contextmanager
def served(weights: str, *, threads: int) -> Generator[str]:
    """Serves ``weights``, one request at a time; yields the endpoint's address. Raises RuntimeError when it does not start."""
    command = [sys.executable, "-m", "emafusion_cli.local_server", "--weights", weights, "--port", "0", "--slots", "1"]
    command += ["--threads", str(threads), "--context", str(CONTEXT_TOKENS)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)  # noqa: S603 the command is ours
    try:
        if server.stdout is None:
            raise RuntimeError("the model's server has no output")
        for line in server.stdout:
            if line.startswith("serving "):
                address = line.split()[-1]
                yield f"{address if '://' in address else f'http://{address}'}/v1"
                return
        raise RuntimeError(f"{weights} could not be served; is it there? `emafusion models pull {weights}` fetches it")
    finally:
        server.terminate()
        server.wait(STOP_S)


@asynccontextmanager
async def connected(endpoint: str) -> AsyncGenerator[ChatModel]:
    """The model behind ``endpoint``."""
    timeout_ms = int(CALL_TIMEOUT_S * 1e3)
    limits = {"concurrency_max": 1, "total_timeout_ms": timeout_ms, "first_chunk_timeout_ms": timeout_ms, "idle_timeout_ms": timeout_ms}
    entry = {"name": JUDGE, "provider": "openai_compatible", "endpoint": endpoint, "context_tokens": CONTEXT_TOKENS, "limits": limits}
    settings = Settings.model_validate({"models": [{**entry, "capabilities": ["logprobs"]}]})
    telemetry = Telemetry.off()
    models = build_models(settings, secrets=SecretSource({}, Path()), tracer=telemetry.tracer, meter=telemetry.meter)
    try:
        yield models[JUDGE]
    finally:
        for model in models.values():
            await model.aclose()


class Asker:
    """Asks ``model`` each prompt once: what ``memory`` (JSON lines of digest and P(Yes)) already has is not asked again."""

    def __init__(self, model: ChatModel, memory: Path) -> None:
        self._model = model
        self._memory = memory
        lines = memory.read_text(encoding="utf-8").splitlines() if memory.exists() else []
        self._known: dict[str, float] = dict(json.loads(line) for line in lines)

    async def yes_probability(self, turns: tuple[Turn, ...]) -> float:
        """P(Yes) of the prompt, 0.0 to 1.0. Raises what the model and the reading of its reply raise."""
        digest = hashlib.sha256("\0".join(turn.content for turn in turns).encode()).hexdigest()
        if digest not in self._known:
            self._known[digest] = await self._ask(turns)
            with self._memory.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps([digest, self._known[digest]]) + "\n")
        return self._known[digest]

    async def _ask(self, turns: tuple[Turn, ...]) -> float:
        request = ChatRequest(
            messages=tuple(ChatMessage(Role(turn.speaker.value), turn.content) for turn in turns),
            max_output_tokens=1,
            logprobs=True,
            top_logprobs=ALTERNATIVES,
            timeout_s=CALL_TIMEOUT_S,
        )
        async with aclosing(self._model.stream(request)) as events:
            async for event in events:
                if isinstance(event, Chunk) and event.logprobs:
                    return _read(event.logprobs[0])
        raise RuntimeError("the model said nothing")


def _read(first: TokenLogprob) -> float:
    """A reply without Yes and No makes the judge fail: it says nothing for the answer."""
    try:
        return rubric.yes_probability(first.alternatives or ((first.token, first.logprob),))
    except UnreadableReply:
        return 0.0


def nonce_of(case: Case, *, seed: str) -> str:
    """A nonce that depends on ``seed`` alone as long as it does not occur in the case, so that a measurement can be repeated."""
    source = random.Random(seed)  # noqa: S311 a measurement must be repeatable; the service draws from `secrets`
    texts = (case.candidate.text, *(text for _, text in rubric.sections(case)))
    return rubric.fresh_nonce(lambda: "".join(source.choices(string.ascii_lowercase + string.digits, k=8)), texts)
