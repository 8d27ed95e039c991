"""``python -m benchmarks.injection``: how many wrong answers an injection gets accepted by the local judge model, prompt by prompt.

Needs `make models`. Reads the recorded answers of ``training/local_answers.jsonl``. A run ends after
``--minutes`` with what it has; the next one goes on from there.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from benchmarks.injection.attacks import ATTACKS, SPOKEN
from benchmarks.injection.measure import Figures, Item, Scored, figures, judged, wrong_answers
from benchmarks.injection.model import JUDGE, Asker, connected, served
from benchmarks.injection.prompts import PROMPTS
from benchmarks.injection.report import markdown
from benchmarks.injection.ruled import markdown as markdown_of_ruled
from benchmarks.injection.ruled import ruled
from judge_service.adapters.calibration_file import load_calibration
from judge_service.domain.calibration import Calibration
from training.panel_rows import ROWS_PATH

CALIBRATION = Path(__file__).parents[2] / "artifacts" / "calibration"


@dataclass(frozen=True, slots=True)
class Setting:
    """What is measured, where the answers of the model are kept, and for how many seconds."""

    prompts: Sequence[str]
    calibration: Calibration
    memory: Path
    seconds: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.injection", description=__doc__)
    parser.add_argument("--answers", type=int, default=8, help="wrong answers, each with every attempt (default 8)")
    parser.add_argument("--ruled", action="store_true", help="only the judges that ask no model, on up to --answers answers; quick")
    parser.add_argument("--prompts", nargs="+", choices=sorted(PROMPTS), default=["fenced", "served"], help="prompts to compare")
    parser.add_argument("--minutes", type=float, default=12.0, help="most minutes in all (default 12)")
    parser.add_argument("--threads", type=int, default=2, help="threads of the model (default 2)")
    parser.add_argument("--rows", type=Path, default=ROWS_PATH, help="file of the recorded answers")
    parser.add_argument("--memory", type=Path, default=Path(".emafusion/injection.jsonl"), help="replies; a run goes on where one stopped")
    parser.add_argument("--out", type=Path, default=None, help="folder for report.json and report.md")
    chosen = parser.parse_args(arguments)
    items = wrong_answers(chosen.rows, chosen.answers)
    if chosen.ruled:
        print(markdown_of_ruled(ruled(items, ATTACKS)))
        return
    setting = Setting(chosen.prompts, load_calibration(CALIBRATION), chosen.memory, chosen.minutes * 60.0)
    with served(JUDGE, threads=chosen.threads) as endpoint:
        measured = asyncio.run(_measure(endpoint, setting, items))
    text = markdown(measured)
    print(text)
    if chosen.out is not None:
        chosen.out.mkdir(parents=True, exist_ok=True)
        (chosen.out / "report.md").write_text(text, encoding="utf-8")
        rows = {prompt: [asdict(row) for row in table] for prompt, table in measured.items()}
        (chosen.out / "report.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


async def _measure(endpoint: str, setting: Setting, items: Sequence[Item]) -> Mapping[str, list[Figures]]:
    """Attempt after attempt with all prompts, so that all stand on the same answers whenever the time is over."""
    ends_at = time.monotonic() + setting.seconds
    prompts = {name: PROMPTS[name] for name in setting.prompts}
    collected: dict[str, list[Scored]] = {name: [] for name in prompts}
    work = [(index, item, attack) for index, item in enumerate(items) for attack in (None, *SPOKEN)]
    with Progress(console=Console(stderr=True)) as progress:
        async with connected(endpoint) as model:
            asker = Asker(model, setting.memory)
            for index, item, attack in progress.track(work, description="judging"):
                for name, scored in (await judged(asker, prompts, item, attack, setting.calibration, index=index)).items():
                    collected[name].append(scored)
                if time.monotonic() >= ends_at:
                    break
    return {name: figures(scored, SPOKEN) for name, scored in collected.items()}


if __name__ == "__main__":
    main()
