"""Asks live models your own questions: ``emafusion record``, or ``python -m training.record``."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.table import Table

from servicekit.settings.load import ConfigurationError, load_settings
from servicekit.settings.process import process_environment
from training.record.failures import RecordingFailed
from training.record.journal import Journal
from training.record.layout import NANO_PER_USD, POOL_FILE
from training.record.run import Outcome, record
from training.record.wishes import Wishes, wishes_of

DONE: Final = 0
INCOMPLETE: Final = 1
WRONG_INPUT: Final = 2
INTERRUPTED: Final = 130
_SHOWN_MAX: Final = 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Records, and returns the exit code: 0 complete, 1 something is missing, 2 wrong input, 130 interrupted."""
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        wishes = wishes_of(arguments)
        with Journal(wishes.out) as journal:
            return asyncio.run(_record(wishes, journal, errors))
    except (RecordingFailed, ConfigurationError) as error:
        errors.print("[red]error:[/] ", end="")
        errors.print(str(error), markup=False)
        return WRONG_INPUT if not isinstance(error, RecordingFailed) or error.wrong_input else INCOMPLETE
    except asyncio.CancelledError:
        return INTERRUPTED


async def _record(wishes: Wishes, journal: Journal, errors: Console) -> int:
    loaded = await asyncio.to_thread(load_settings, wishes.config, process_environment())
    stop = _stop_on_interrupt(errors)
    outcome = await record(wishes, loaded, journal, console=errors, stop=stop)
    _show(wishes, journal, outcome)
    _show_missing(journal, outcome, errors)
    if stop.is_set():
        return INTERRUPTED
    return INCOMPLETE if outcome.not_asked or outcome.unverified or outcome.failed else DONE


def _stop_on_interrupt(errors: Console) -> asyncio.Event:
    """The first Ctrl-C lets the calls in flight finish, which are paid for; the second breaks them off."""
    stop = asyncio.Event()
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def interrupted() -> None:
        if stop.is_set() and task is not None:
            task.cancel()
        else:
            errors.print("finishing the calls in flight; Ctrl-C again breaks them off")
            stop.set()

    loop.add_signal_handler(signal.SIGINT, interrupted)
    return stop


def _show(wishes: Wishes, journal: Journal, outcome: Outcome) -> None:
    out = Console(highlight=False, soft_wrap=True)
    table = Table("model", "answers", "labelled", "right", "USD", box=None, pad_edge=False)
    for entry in outcome.written:
        share = f"{entry.right} ({entry.right / entry.labelled:.0%})" if entry.labelled else "–"
        table.add_row(entry.model, str(entry.answers), str(entry.labelled), share, f"{entry.cost_nano_usd / NANO_PER_USD:.6f}")
    out.print(table)
    splits = Counter(question.split for question in journal.questions.values())
    counts = ", ".join(f"{count} {split}" for split, count in sorted(splits.items()))
    spent = journal.spent_nano_usd / NANO_PER_USD
    out.print(f"{wishes.out}: {len(journal.questions)} questions ({counts}), {spent:.6f} USD in all, pool file {wishes.out / POOL_FILE}")


def _show_missing(journal: Journal, outcome: Outcome, errors: Console) -> None:
    """Every failure in a line, as far as there is room; the journal has all of them."""
    lines = [f"failed: {failure.key.model} on {failure.key.question_id}: {failure.message}" for failure in outcome.failed]
    lines += [f"no label: {entry.key.model} on {entry.key.question_id}: {entry.why}" for entry in outcome.unverified]
    causes = Counter((entry.key.model, entry.why) for entry in outcome.not_asked)
    for line in lines[:_SHOWN_MAX]:
        errors.print(line, markup=False)
    if len(lines) > _SHOWN_MAX:
        errors.print(f"and {len(lines) - _SHOWN_MAX} more in {journal.path}", markup=False)
    for (model, why), count in sorted(causes.items()):
        errors.print(f"not asked: {count} answers of {model} ({why})", markup=False)
    if lines or causes:
        errors.print("The same command again asks for what is missing.")


if __name__ == "__main__":
    sys.exit(main())
