"""Commands that need no service: configuration, models, doctor; and how every command fails."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from emafusion_cli.ports import free_ports

from tests.support.command_line import minimal_configuration, run_command

ROOT = Path(__file__).parents[3]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return minimal_configuration(tmp_path, port=free_ports(1)[0])


def test_the_default_configuration_is_valid(capsys: pytest.CaptureFixture[str]) -> None:
    ended = run_command(capsys, "config", "validate", "--config", ROOT / "emafusion.yaml")
    assert ended.exit_code == 0
    assert "is valid: 6 models, 4 judges" in ended.out


def test_every_mistake_is_listed_with_the_nearest_name(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text(config.read_text().replace("telemetry:", "telemetri:").replace("provider: openai", "provider: opnai"))
    ended = run_command(capsys, "config", "validate", "--config", config)
    assert ended.exit_code == 2
    assert "telemetri: unknown key" in ended.err
    assert "telemetry" in ended.err.replace(str(config), "")
    assert "models.only.provider" in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["yaml", "json"])
def test_shown_configuration_has_no_secret(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, form: list[str]
) -> None:
    monkeypatch.setenv("ONLY_KEY", "sk-hunter1")
    ended = run_command(capsys, "config", "show", "--config", config, *form)
    assert ended.exit_code == 0
    assert "hunter" not in ended.out + ended.err
    assert "environment variable ONLY_KEY" in ended.out
    assert "someone:***@127.0.0.1" in ended.out


def test_a_missing_file_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ended = run_command(capsys, "config", "validate", "--config", tmp_path / "none.yaml")
    assert (ended.exit_code, "none.yaml can't be read" in ended.err) == (2, True)


def test_models_list_says_what_is_here_and_what_is_in_use(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ended = run_command(capsys, "models", "list", "--config", config, "--models-dir", tmp_path, "--json")
    listed = json.loads(ended.out)
    assert [(row["name"], row["present"], row["licence"]) for row in listed["weights"]] == [
        ("smollm2-135m", False, "Apache-2.0"),
        ("qwen2.5-coder-0.5b", False, "Apache-2.0"),
        ("qwen2.5-coder-1.5b", False, "Apache-2.0"),
    ]
    assert listed["models"][0]["disabled_reason"] == "environment variable ONLY_KEY is not set"
    table = run_command(capsys, "models", "list", "--config", config, "--models-dir", tmp_path)
    assert "1,117 MB" in table.out
    assert "ONLY_KEY is not set" in table.out


def test_unknown_weights_are_told_with_the_known_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ended = run_command(capsys, "models", "pull", "gpt", "--models-dir", tmp_path)
    assert (ended.exit_code, "known: smollm2-135m" in ended.err) == (2, True)


def test_doctor_names_what_is_missing_and_how_to_mend_it(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ended = run_command(capsys, "doctor", "--config", config, "--json")
    findings = {finding["subject"]: finding for finding in json.loads(ended.out)}
    assert ended.exit_code == 1
    assert findings["python"]["grade"] == "good"
    assert findings["artifact encoder"]["grade"] == "missing"
    assert "git checkout -- artifacts/encoder" in findings["artifact encoder"]["detail"]
    assert (findings["router service"]["grade"], findings["router service"]["mend"]) == ("note", "emafusion up")
    assert (findings["key of only"]["grade"], findings["decision store"]["grade"]) == ("note", "good")
    assert "hunter" not in ended.out


def test_doctor_finds_missing_weights_of_local_models(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ended = run_command(capsys, "doctor", "--config", ROOT / "emafusion.yaml", "--models-dir", tmp_path, "--json")
    findings = {finding["subject"]: finding for finding in json.loads(ended.out)}
    assert ended.exit_code == 1
    assert findings["weights smollm2-135m"]["mend"] == "emafusion models pull smollm2-135m"


def test_doctor_finds_a_damaged_artifact(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(ROOT / "artifacts" / "taxonomy", tmp_path / "artifacts" / "taxonomy")
    config = minimal_configuration(tmp_path, port=free_ports(1)[0])
    whole = run_command(capsys, "doctor", "--config", config, "--json")
    file = next(path for path in (tmp_path / "artifacts" / "taxonomy").iterdir() if path.name != "manifest.json")
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    damaged = run_command(capsys, "doctor", "--config", config, "--json")
    grades = [next(finding for finding in json.loads(ended.out) if finding["subject"] == "artifact taxonomy") for ended in (whole, damaged)]
    assert [finding["grade"] for finding in grades] == ["good", "missing"]
    assert file.name in grades[1]["detail"]


def test_doctor_without_a_configuration_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ended = run_command(capsys, "doctor", "--config", tmp_path / "none.yaml")
    assert ended.exit_code == 1
    assert "1 missing" in ended.out


def test_up_without_weights_names_the_command_that_fetches_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(ROOT / "emafusion.yaml", tmp_path)
    ended = run_command(capsys, "up", "--config", tmp_path / "emafusion.yaml", "--models-dir", tmp_path)
    assert ended.exit_code == 1
    assert "emafusion models pull qwen2.5-coder-0.5b qwen2.5-coder-1.5b smollm2-135m" in ended.err


def test_down_without_a_stack_is_no_error(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ended = run_command(capsys, "down", "--config", config)
    assert (ended.exit_code, ended.out) == (0, "Nothing is running.\n")


@pytest.mark.parametrize(
    "arguments", [("ask", "hi"), ("route", "hi"), ("judge", "hi", "answer"), ("feedback", "d1", "--correct")], ids=lambda a: a[0]
)
def test_services_that_are_down_are_told_with_a_hint(config: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]) -> None:
    ended = run_command(capsys, *arguments, "--config", config, "--timeout", "20")
    assert ended.exit_code == 3
    assert "emafusion up" in ended.err
    assert "Traceback" not in ended.err


def test_feedback_needs_something_to_say(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ended = run_command(capsys, "feedback", "d1", "--config", config)
    assert (ended.exit_code, "--correct" in ended.err) == (2, True)
