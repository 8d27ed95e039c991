"""The command line of a recording, and how `emafusion record` hands over to it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml
from emafusion_cli.app import main as emafusion
from emafusion_cli.commands.record import run_to_end, running_endpoints
from emafusion_cli.state import RunningProcess, RunningStack, birth_of, write_state

from servicekit.settings.load import load_settings
from servicekit.settings.process import process_environment
from tests.support.command_line import run_command

pytest.importorskip("pyarrow", reason="needs the extra `recorded`")

from training.record.__main__ import main
from training.record.wishes import LabelWish, wishes_of


@pytest.fixture
def config(tmp_path: Path) -> Path:
    models = [
        {"name": "small", "provider": "openai_compatible", "endpoint": "http://127.0.0.1:9/v1", "local": {"weights": "smollm2-135m"}},
        {"name": "large", "provider": "openai_compatible", "endpoint": "http://127.0.0.1:9/v1", "enabled": False},
    ]
    path = tmp_path / "emafusion.yaml"
    path.write_text(yaml.safe_dump({"models": models}), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--models", "tiny"), "tiny not in"),
        (("--models", "large"), "large: switched off in the configuration"),
        (("--models", "small"), "holds no questions yet"),
        (("--label", "strong"), "go together"),
        (("--label", "guess"), "allowed are `references`"),
        (("--label", "command"), "allowed are `references`"),
        (("--questions", "none.jsonl"), "none.jsonl can't be read"),
    ],
)
def test_wrong_input_is_told(config: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], told: str) -> None:
    assert main(["--config", str(config), "--out", str(config.parent / "own"), *arguments]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("option", [("--samples", "0"), ("--temperature", "2.5"), ("--cost-max-usd", "-1"), ("--concurrency", "x")])
def test_values_out_of_bounds_are_refused(option: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        wishes_of(["--out", "own", *option])
    assert (ended.value.code, option[0] in capsys.readouterr().err) == (2, True)


def test_labels_keep_their_order() -> None:
    wishes = wishes_of(["--out", "own", "--label", "command", "./verify.sh --fast", "--label", "strong", "--strong-model", "big"])
    assert wishes.labels == (LabelWish(kind="command", command="./verify.sh --fast"), LabelWish(kind="strong"))
    assert wishes_of(["--out", "own"]).labels == (LabelWish(kind="references"),)


def test_a_recording_is_not_asked_for_on_other_terms(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    questions = config.parent / "questions.jsonl"
    common = ["--config", str(config), "--out", str(config.parent / "own")]
    questions.write_text('{"question_id": "a", "question": "a?"}\n', encoding="utf-8")
    assert main([*common, "--questions", str(questions), "--max-output-tokens", "16"]) == 0
    assert main([*common, "--max-output-tokens", "32"]) == 2
    assert "was recorded with max_output_tokens 16, not 32" in capsys.readouterr().err
    questions.write_text('{"question_id": "a", "question": "b?"}\n', encoding="utf-8")
    assert main([*common, "--questions", str(questions)]) == 2
    assert "question 'a' was recorded with another prompt" in capsys.readouterr().err
    assert main([*common]) == 0


def test_help_is_that_of_the_recorder(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        emafusion(["record", "--help"])
    assert ended.value.code in {0, None}
    assert "--cost-max-usd" in capfd.readouterr().out


def test_a_missing_configuration_is_told_before_anything_starts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ended = run_command(capsys, "record", "--out", tmp_path / "own", "--config", tmp_path / "none.yaml")
    assert (ended.exit_code, "none.yaml can't be read" in ended.err) == (2, True)


def test_the_exit_code_is_that_of_the_recorder() -> None:
    assert run_to_end([sys.executable, "-c", "import sys; sys.exit(7)"], process_environment()) == 7


def test_local_models_are_asked_where_they_run(config: Path) -> None:
    loaded = load_settings(config, {})
    assert running_endpoints(loaded) == {}
    own = int(Path("/proc/self/stat").read_text().split()[0])
    alive = RunningProcess(name="small", pid=own, born=birth_of(own), address="127.0.0.1:4711", log="")
    service = RunningProcess(name="router", pid=own, born=birth_of(own), address="127.0.0.1:4712", log="")
    write_state(config.parent, RunningStack(processes=(alive, service), targets={}))
    assert running_endpoints(loaded) == {"EMAFUSION__MODELS__SMALL__ENDPOINT": "http://127.0.0.1:4711/v1"}
