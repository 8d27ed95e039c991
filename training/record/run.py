"""A recording from start to end: what is wished for, what is open, the calls, the labels, the tables."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from typing import Any, Final

from rich.console import Console

from providers.build import build_models, model_availability
from providers.port import ChatModel
from servicekit.settings.load import LoadedSettings
from servicekit.settings.models import ModelSettings
from servicekit.telemetry import Telemetry
from training.record.ceiling import CostCeiling
from training.record.entries import AnswerKey, AskedModel, Entry, FailedCall, Terms
from training.record.failures import RecordingFailed
from training.record.journal import Journal
from training.record.labels import ByJournal, ByReference, ByStrongModel, LabelSource
from training.record.layout import Written, competing, write_recording
from training.record.progress import ShownProgress
from training.record.questions import AskedQuestion, further_fields, read_questions_file
from training.record.session import NotAsked, Session, open_keys
from training.record.verifier_command import Unverified, VerifierCommand, verify
from training.record.wishes import LabelWish, Wishes

DEFAULT_TERMS: Final = Terms(arena="", max_output_tokens=1_024, temperature=0.0, sample_temperature=0.8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the recording holds by model, and what this run was to bring and did not.

    ``failed`` calls gave no answer, ``unverified`` answers could not be judged by the verifier.
    """

    written: list[Written]
    failed: list[FailedCall]
    not_asked: list[NotAsked]
    unverified: list[Unverified]


async def record(wishes: Wishes, loaded: LoadedSettings, journal: Journal, *, console: Console, stop: asyncio.Event) -> Outcome:
    """Asks what is open, labels, and writes the tables; ``journal`` is open, ``console`` shows progress.

    ``stop``, once set, ends the asking after the calls in flight. Raises ``RecordingFailed`` or ``ConfigurationError``.
    """
    settings = chosen_models(wishes, loaded)
    verifiers = [VerifierCommand(wish.command, timeout_s=wishes.label_timeout_s) for wish in wishes.labels if wish.kind == "command"]
    await asyncio.to_thread(prepare, wishes, journal, settings)
    if unread := further_fields(list(journal.questions.values())):
        console.print(f"fields that verifier commands see and nobody else: {', '.join(unread)}", markup=False)
    async with AsyncExitStack() as closing:
        models = _build(settings, loaded, closing)
        keys = _open_keys(wishes, journal)
        not_asked = await _ask(keys, wishes, settings, models, journal, console=console, stop=stop) if keys else []
    failed = [journal.failures[key] for key in keys if key in journal.failures]
    unverified: list[Unverified] = []
    for verifier in verifiers:
        unverified += await _verify(verifier, wishes, journal)
    sources = [_source(wish, wishes, journal) for wish in wishes.labels]
    written = await asyncio.to_thread(write_recording, wishes.out, journal, sources)
    return Outcome(written=written, failed=failed, not_asked=not_asked, unverified=unverified)


def chosen_models(wishes: Wishes, loaded: LoadedSettings) -> list[ModelSettings]:
    """The settings of the models to ask, the strong one last. Raises ``RecordingFailed`` for one that can't be asked."""
    names = list(dict.fromkeys(name for name in (*wishes.models, wishes.strong_model) if name))
    configured = {model.name: model for model in loaded.settings.models}
    if unknown := sorted(set(names) - set(configured)):
        raise RecordingFailed(f"--models: {', '.join(unknown)} not in {loaded.path}; configured are {', '.join(configured)}")
    why = model_availability(loaded.settings, loaded.secrets)
    if missing := [f"{name}: {why[name]}" for name in names if why[name]]:
        raise RecordingFailed(f"--models: {'; '.join(missing)}")
    return [configured[name] for name in names]


def prepare(wishes: Wishes, journal: Journal, models: Sequence[ModelSettings]) -> None:
    """Writes terms, models and questions into the journal as far as they are new. Blocks.

    Raises ``RecordingFailed`` when they contradict what is recorded.
    """
    terms = _terms(wishes, journal.terms)
    entries: list[Entry] = [] if terms == journal.terms else [terms]
    described = [_model(model, journal, competes=model.name in wishes.models) for model in models]
    entries += [model for model in described if model != journal.models.get(model.name)]
    if wishes.questions is not None:
        entries += _new_questions(read_questions_file(wishes.questions, dev_percent=wishes.dev_percent), journal)
    if not journal.questions and not any(isinstance(entry, AskedQuestion) for entry in entries):
        raise RecordingFailed(f"{wishes.out} holds no questions yet: give --questions FILE and --models A,B")
    journal.add(entries)


def _terms(wishes: Wishes, recorded: Terms | None) -> Terms:
    """What is wished for, else what is recorded, else the default."""
    base: dict[str, Any] = asdict(recorded or DEFAULT_TERMS)
    asked = {name: value for name in base if (value := getattr(wishes, name)) is not None}
    if recorded is None:
        chosen: dict[str, Any] = {**base, "arena": wishes.out.resolve().name, **asked}
        return Terms(**chosen)
    if changed := [f"{name} {base[name]!r}, not {value!r}" for name, value in asked.items() if value != base[name]]:
        raise RecordingFailed(f"{wishes.out} was recorded with {'; '.join(changed)}: leave the option out, or take another --out")
    return recorded


def _model(model: ModelSettings, journal: Journal, *, competes: bool) -> AskedModel:
    recorded = journal.models.get(model.name)
    if recorded is not None and recorded.upstream_model != model.upstream_name:
        was = f"model {model.name} was recorded as {recorded.upstream_model} and is {model.upstream_name} now"
        raise RecordingFailed(f"{was}: give it another name, or take another --out")
    return AskedModel(
        name=model.name,
        provider=model.provider,
        upstream_model=model.upstream_name,
        input_usd_per_m=model.price.input_usd_per_mtok,
        output_usd_per_m=model.price.output_usd_per_mtok,
        context_tokens=model.context_tokens,
        competes=competes or (recorded is not None and recorded.competes),
    )


def _new_questions(questions: Sequence[AskedQuestion], journal: Journal) -> list[AskedQuestion]:
    """Questions that are new or were changed in what models don't see."""
    for question in questions:
        recorded = journal.questions.get(question.id)
        if recorded is not None and recorded.prompt != question.prompt:
            raise RecordingFailed(f"question {question.id!r} was recorded with another prompt: give it another question_id")
    return [question for question in questions if journal.questions.get(question.id) != question]


def _build(settings: Sequence[ModelSettings], loaded: LoadedSettings, closing: AsyncExitStack) -> dict[str, ChatModel]:
    """The models that are asked, and no other."""
    if not settings:
        return {}
    telemetry = Telemetry.off()
    only = loaded.settings.model_copy(update={"models": tuple(settings)})
    models = build_models(only, secrets=loaded.secrets, tracer=telemetry.tracer, meter=telemetry.meter)
    for model in models.values():
        closing.push_async_callback(model.aclose)
    return models


def _open_keys(wishes: Wishes, journal: Journal) -> list[AnswerKey]:
    questions = list(journal.questions.values())
    keys = open_keys(questions, wishes.models, samples=wishes.samples, journal=journal)
    if wishes.strong_model and wishes.strong_model not in wishes.models:
        keys += open_keys(questions, [wishes.strong_model], samples=1, journal=journal)
    return keys


async def _ask(
    keys: Sequence[AnswerKey],
    wishes: Wishes,
    settings: Sequence[ModelSettings],
    models: dict[str, ChatModel],
    journal: Journal,
    *,
    console: Console,
    stop: asyncio.Event,
) -> list[NotAsked]:
    terms = journal.terms or DEFAULT_TERMS
    per_model = Counter(key.model for key in keys)
    with ShownProgress(console, per_model, spent=lambda: journal.spent_nano_usd, clock=time.monotonic) as progress:
        ceiling = CostCeiling(wishes.cost_max_nano_usd, spent_nano_usd=journal.spent_nano_usd)
        session = Session(journal, terms, ceiling=ceiling, concurrency_max=wishes.concurrency_max, watcher=progress, stop=stop)
        return await session.ask_all(keys, models, lanes_max={model.name: model.limits.concurrency_max for model in settings})


async def _verify(verifier: VerifierCommand, wishes: Wishes, journal: Journal) -> list[Unverified]:
    if wishes.label_again:
        for labelled in [entry for entry in journal.labels if entry[1] == verifier.by]:
            del journal.labels[labelled]
    return await verify(verifier, competing(journal), journal=journal, concurrency_max=wishes.concurrency_max)


def _source(wish: LabelWish, wishes: Wishes, journal: Journal) -> LabelSource:
    match wish.kind:
        case "references":
            return ByReference()
        case "strong":
            return ByStrongModel(wishes.strong_model, journal.answers)
        case _:
            return ByJournal(VerifierCommand(wish.command, timeout_s=wishes.label_timeout_s).by, journal.labels)
