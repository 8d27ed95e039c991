from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from servicekit.settings.load import ConfigurationError, LoadedSettings, load_settings
from servicekit.settings.masked import mask_url, masked

Load = Callable[..., LoadedSettings]

BASE = """
models:
  - name: small-1.5b
    provider: openai_compatible
    endpoint: http://127.0.0.1:8101/v1
"""


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def write_and_load(text: str = BASE, environ: Mapping[str, str] | None = None) -> LoadedSettings:
        file = tmp_path / "emafusion.yaml"
        file.write_text(text)
        return load_settings(file, environ or {})

    return write_and_load


def problems(load: Load, text: str = BASE, environ: Mapping[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load(text, environ)
    return [str(problem) for problem in caught.value.problems]


def test_defaults_fill_what_the_file_leaves_out(load: Load) -> None:
    settings = load().settings
    assert settings.models[0].upstream_name == "small-1.5b"
    assert settings.cascade.ceilings.attempts_max == 4


def test_the_file_is_found_by_argument_then_variable_then_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, model in (("a.yaml", "from-argument"), ("b.yaml", "from-variable"), ("emafusion.yaml", "from-folder")):
        (tmp_path / name).write_text(BASE.replace("small-1.5b", model))
    monkeypatch.chdir(tmp_path)
    variable = {"EMAFUSION_CONFIG": str(tmp_path / "b.yaml")}
    found = [load_settings(tmp_path / "a.yaml", variable), load_settings(None, variable), load_settings(None, {})]
    assert [loaded.settings.models[0].name for loaded in found] == ["from-argument", "from-variable", "from-folder"]
    assert found[2].path == tmp_path / "emafusion.yaml"


def test_a_missing_file_says_how_to_name_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nowhere\.yaml can't be read .*EMAFUSION_CONFIG"):
        load_settings(tmp_path / "nowhere.yaml", {})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cascade: {cielings: {}}", "cascade.cielings: unknown key; nearest valid name: ceilings"),
        ("cascade: {ceilings: {attempt_max: 2}}", "cascade.ceilings.attempt_max: unknown key; nearest valid name: attempts_max"),
        (
            "judge: {judges: [{kind: llm, modle: small-1.5b, model: small-1.5b}]}",
            "judge.judges.0.modle: unknown key; nearest valid name: model",
        ),
        ("logging: {zzz: 1}", "logging.zzz: unknown key; valid names: level"),
        ("cascade: {ceilings: {attempts_max: 99}}", "cascade.ceilings.attempts_max: input should be less than or equal to 16, got 99"),
        ("server: {in_flight_max: .nan}", "server.in_flight_max: input should be a finite number, got nan"),
        ("router: {suitability_min: .inf}", "router.suitability_min: input should be a finite number, got inf"),
        ("logging: {level: loud}", "logging.level: input should be 'debug', 'info', 'warning' or 'error', got loud"),
        ("cascade: {default_policy: brave}", "`cascade.default_policy`: `brave` is not configured; known: balanced"),
    ],
)
def test_one_mistake_is_named_with_its_path(load: Load, text: str, expected: str) -> None:
    assert problems(load, f"{BASE}\n{text}") == [expected]


def test_entries_of_lists_go_by_name(load: Load) -> None:
    assert problems(load, BASE + "    prize: {}\n") == ["models.small-1.5b.prize: unknown key; nearest valid name: price"]


def test_all_problems_come_at_once(load: Load) -> None:
    found = problems(load, "models: []\nrouter: 3\ncascade: {x: 1}\nserver: {queue_max: -1}", {"EMAFUSION__NOPE": "1"})
    assert [problem.split(":")[0] for problem in found] == ["EMAFUSION__NOPE", "cascade.x", "models", "router", "server.queue_max"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("models: []\nmodels: []", "line 2, column 1: not valid YAML: key `models` is given twice, first in line 1"),
        ("a: [1", "line 1, column 6: not valid YAML: expected ',' or ']', but got '<stream end>'"),
        ("- 1", "the file must hold a mapping of keys to values"),
        ("a: \x07", "not valid YAML: the file is not UTF-8 text or has control characters"),
    ],
)
def test_a_file_that_is_no_mapping_is_refused(load: Load, text: str, expected: str) -> None:
    assert problems(load, text) == [expected]


def test_an_empty_file_lacks_models(load: Load) -> None:
    assert problems(load, "") == ["models: field required"]


def test_variables_override_keys_and_entries_by_name_or_index(load: Load) -> None:
    settings = load(
        environ={
            "EMAFUSION__CASCADE__CEILINGS__ATTEMPTS_MAX": "2",
            "EMAFUSION__MODELS__SMALL_1_5B__ENABLED": "false",
            "EMAFUSION__MODELS__0__EXTRA_BODY__CACHE_PROMPT": "true",
            "EMAFUSION__JUDGE__JUDGES__AGREEMENT__NAME": "peers",
            "EMAFUSION__CASCADE__POLICIES__BALANCED__THRESHOLD": "0.9",
            "EMAFUSION__TELEMETRY": "{sample_ratio: 0.5}",
            "EMAFUSION__SERVICES__ROUTER__LISTEN": "127.0.0.1:7000",
            "EMAFUSION__MODELS__0__CAPABILITIES": "[seed]",
            "EMAFUSION__TELEMETRY__FILE": "null",
            "UNRELATED": "x",
        }
    ).settings
    assert settings.cascade.ceilings.attempts_max == 2
    assert settings.models[0].enabled is False
    assert settings.models[0].extra_body == {"cache_prompt": True}
    assert settings.models[0].capabilities == {"seed"}
    assert [judge.name for judge in settings.judge.judges] == ["checks", "peers", "confidence"]
    assert settings.cascade.policies[0].threshold == 0.9
    assert settings.telemetry.sample_ratio == 0.5
    assert settings.services.router.listen == "127.0.0.1:7000"
    assert settings.services.router.target == "dns:///127.0.0.1:50051"


@pytest.mark.parametrize(
    ("variable", "expected"),
    [
        ("EMAFUSION__CASCADE__CIELINGS__ATTEMPTS_MAX", "no such key; nearest valid name: EMAFUSION__CASCADE__CEILINGS"),
        ("EMAFUSION__MODELS__SMALL__ENABLED", "no such entry; nearest valid name: EMAFUSION__MODELS__SMALL_1_5B"),
        ("EMAFUSION__MODELS__7__ENABLED", "no such entry; valid names: EMAFUSION__MODELS__SMALL_1_5B"),
        ("EMAFUSION__LOGGING__LEVEL__X", "`EMAFUSION__LOGGING__LEVEL` is a single value and has no keys below it"),
    ],
)
def test_a_variable_that_names_no_key_is_an_error(load: Load, variable: str, expected: str) -> None:
    assert problems(load, environ={variable: "1"}) == [f"{variable}: {expected}"]


@pytest.mark.parametrize("variable", ["EMAFUSION__SERVER__QUEUE_MAX", "EMAFUSION__MODELS__SMALL_1_5B__CONTEXT_TOKENS"])
def test_a_bad_value_of_a_variable_names_the_variable(load: Load, variable: str) -> None:
    (problem,) = problems(load, environ={variable: "many"})
    assert "input should be a valid integer" in problem
    assert problem.endswith(f"got many (set by {variable})")


def test_relative_paths_start_at_the_files_folder(load: Load, tmp_path: Path) -> None:
    settings = load(BASE + "  - {name: replay, provider: recorded, recording: answers.parquet}\ntelemetry: {file: spans.jsonl}\n").settings
    assert settings.artifacts.directory == str(tmp_path / "artifacts")
    assert settings.telemetry.file == str(tmp_path / "spans.jsonl")
    assert settings.models[1].recording == str(tmp_path / "answers.parquet")
    assert settings.cascade.store.url == f"sqlite+aiosqlite:///{tmp_path}/.emafusion/decisions.sqlite3"


@pytest.mark.parametrize("url", ["postgresql+asyncpg://u@h/db", "sqlite+aiosqlite:////var/x.db", "sqlite+aiosqlite:///:memory:"])
def test_other_store_urls_stay_as_they_are(load: Load, url: str) -> None:
    assert load(f"{BASE}\ncascade: {{store: {{url: '{url}'}}}}").settings.cascade.store.url == url


def test_the_policy_hash_follows_decisions_only(load: Load) -> None:
    plain = load().policy_hash
    assert len(plain) == 12
    assert load(BASE + "logging: {level: debug}\nserver: {queue_max: 1}\ncascade: {store: {record_text: true}}\n").policy_hash == plain
    assert load(BASE + "    api_key: {env: K}\n").policy_hash == plain
    assert load(BASE + "cascade: {policies: [{name: balanced, threshold: 0.71}]}\n").policy_hash != plain
    assert load(BASE + "    price: {input_usd_per_mtok: 1}\n").policy_hash != plain


def test_the_policy_hash_does_not_depend_on_the_folder_or_on_order_in_sets(load: Load, tmp_path: Path) -> None:
    text = BASE + "    capabilities: [seed, logprobs, json_schema]\n"
    other = tmp_path / "elsewhere"
    other.mkdir()
    (other / "e.yaml").write_text(text.replace("seed, logprobs, json_schema", "json_schema, seed, logprobs"))
    assert load(text).policy_hash == load_settings(other / "e.yaml", {}).policy_hash


SECRETIVE = """
models:
  - name: hosted
    provider: anthropic
    api_key: {env: HOSTED_KEY}
    endpoint: https://user:hunter2@host/v1?api_key=hunter2&x=1
    extra_body: {auth_token: hunter2, cache: true}
cascade: {store: {url: "postgresql+asyncpg://u:hunter2@h/db"}}
"""


def test_shown_settings_hide_every_secret(load: Load) -> None:
    shown = masked(load(SECRETIVE, {"HOSTED_KEY": "hunter2"}).settings)
    assert "hunter2" not in repr(shown)
    assert shown["models"][0]["api_key"] == "environment variable HOSTED_KEY"
    assert shown["models"][0]["extra_body"] == {"auth_token": "***", "cache": True}
    assert shown["cascade"]["store"]["url"] == "postgresql+asyncpg://u:***@h/db"
    assert shown["cascade"]["ceilings"]["attempts_max"] == 4


def test_a_url_without_secrets_is_shown_whole() -> None:
    assert mask_url("http://127.0.0.1:8101/v1?x=1") == "http://127.0.0.1:8101/v1?x=1"


@pytest.mark.parametrize("wrong", ["api_key: hunter2", "api_key: {env: hunter2, file: hunter2}", "endpoint: 'ftp://u:hunter2@h'"])
def test_errors_never_show_what_may_be_a_secret(load: Load, wrong: str) -> None:
    text = "models:\n  - name: hosted\n    provider: anthropic\n    " + wrong
    assert "hunter2" not in "".join(problems(load, text))
