"""The command line of a recording, as values."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from training.record.failures import RecordingFailed

NANO_PER_USD: Final = 1_000_000_000
COST_MAX_USD: Final = 1.0
TEMPERATURE_MAX: Final = 2.0
SAMPLES_MAX: Final = 100
TOKENS_MAX: Final = 65_536
CONCURRENCY_MAX: Final = 1_000
_PERCENT: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelWish:
    """A source of labels: `references`, `strong`, or `command` with its command line."""

    kind: str
    command: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What is to be recorded. None stands for what the recording has already, or else the default."""

    questions: Path | None
    models: tuple[str, ...]
    out: Path
    config: Path | None
    arena: str | None
    samples: int
    max_output_tokens: int | None
    temperature: float | None
    sample_temperature: float | None
    cost_max_nano_usd: int
    concurrency_max: int
    dev_percent: int
    labels: tuple[LabelWish, ...]
    strong_model: str
    label_timeout_s: float
    label_again: bool


def wishes_of(arguments: Sequence[str] | None) -> Wishes:
    """The wishes of a command line. Ends the program on options that don't exist; raises ``RecordingFailed`` on those that don't fit."""
    given = _parser().parse_args(arguments)
    labels = tuple(_label(words) for words in given.label or [["references"]])
    if any(label.kind == "strong" for label in labels) != bool(given.strong_model):
        raise RecordingFailed("`--label strong` and `--strong-model NAME` go together")
    return Wishes(
        questions=given.questions,
        models=tuple(name.strip() for name in given.models.split(",") if name.strip()),
        out=given.out,
        config=given.config,
        arena=given.arena,
        samples=given.samples,
        max_output_tokens=given.max_output_tokens,
        temperature=given.temperature,
        sample_temperature=given.sample_temperature,
        cost_max_nano_usd=round(given.cost_max_usd * NANO_PER_USD),
        concurrency_max=given.concurrency,
        dev_percent=given.dev_percent,
        labels=labels,
        strong_model=given.strong_model,
        label_timeout_s=given.label_timeout_s,
        label_again=given.label_again,
    )


def _label(words: list[str]) -> LabelWish:
    match words:
        case [("references" | "strong") as kind]:
            return LabelWish(kind=kind)
        case ["command", command]:
            return LabelWish(kind="command", command=command)
        case _:
            raise RecordingFailed(f'--label {" ".join(words)}: allowed are `references`, `strong`, and `command "COMMAND LINE"`')


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="emafusion record",
        allow_abbrev=False,
        description="Ask live models your own questions and write what they answer, what it costs and what is right, for training and "
        "benchmarks. Interrupt and start again at will: nothing that was paid for is asked again. Without --questions and --models nothing "
        "is asked and the tables are written anew from what is recorded.",
    )
    parser.add_argument("--questions", type=Path, metavar="FILE", help="JSON lines or CSV with question or prompt, reference, domain, …")
    parser.add_argument("--models", default="", metavar="A,B,…", help="names of models in the configuration")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the recording")
    parser.add_argument("--config", "-c", type=Path, metavar="FILE", help="configuration file; default ./emafusion.yaml")
    parser.add_argument("--arena", metavar="NAME", help="name of this set of questions (default: that of the folder)")
    _add_calls(parser)
    _add_labels(parser)
    return parser


def _add_calls(parser: argparse.ArgumentParser) -> None:
    calls = parser.add_argument_group("calls")
    calls.add_argument("--samples", type=_whole(1, SAMPLES_MAX), default=1, metavar="N", help="answers per question and model (1)")
    tokens = _whole(1, TOKENS_MAX)
    calls.add_argument("--max-output-tokens", type=tokens, metavar="N", help="most tokens of an answer (1024, and what the model allows)")
    temperature = _real(0.0, TEMPERATURE_MAX)
    calls.add_argument("--temperature", type=temperature, metavar="T", help="of first answers (0)")
    calls.add_argument("--sample-temperature", type=temperature, metavar="T", help="of further samples (0.8)")
    calls.add_argument(
        "--cost-max-usd",
        type=_real(0.0, 1e9),
        default=COST_MAX_USD,
        metavar="USD",
        help=f"most that the whole recording may cost, earlier runs included ({COST_MAX_USD:g}); no call is made that might exceed it",
    )
    calls.add_argument("--concurrency", type=_whole(1, CONCURRENCY_MAX), default=8, metavar="N", help="most calls at a time (8)")
    calls.add_argument("--dev-percent", type=_whole(0, _PERCENT), default=30, metavar="N", help="share of questions kept for dev (30)")


def _add_labels(parser: argparse.ArgumentParser) -> None:
    labels = parser.add_argument_group("labels")
    labels.add_argument(
        "--label",
        action="append",
        nargs="+",
        metavar="SOURCE",
        help='`references` (default), `command "./verify.sh"`, or `strong`; may be repeated: the first that can say decides',
    )
    labels.add_argument("--strong-model", default="", metavar="NAME", help="model whose answers are taken for right, with `--label strong`")
    labels.add_argument("--label-timeout-s", type=_real(0.1, 86_400.0), default=60.0, metavar="S", help="longest wait for a verifier (60)")
    labels.add_argument("--label-again", action="store_true", help="ask the verifier again about answers that it has judged")


def _whole(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        value = int(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{value} is not within {least} and {most}")
        return value

    parse.__name__ = "whole number"
    return parse


def _real(least: float, most: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        value = float(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{value:g} is not within {least:g} and {most:g}")
        return value

    parse.__name__ = "number"
    return parse
