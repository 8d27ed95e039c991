"""Keys: how they are made, listed and found."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from emafusion.cascade.v1 import cascade_service_pb2
from emafusion.judge.v1 import judge_service_pb2
from emafusion.router.v1 import router_service_pb2
from pydantic import ValidationError

import cascade_service.bootstrap
import judge_service.bootstrap
import router_service.bootstrap
from servicekit.keys import KeyRing, KnownKey, hash_of, new_key, read_keys
from servicekit.settings.auth import ApiKeySettings, AuthSettings
from servicekit.settings.load import ConfigurationError, load_settings
from servicekit.settings.masked import masked
from servicekit.settings.secrets import SecretSource
from tests.support.command_line import run_command
from tests.support.suite import write_config

NOWHERE = SecretSource({}, Path())


def entry(**changes: Any) -> dict[str, Any]:
    return {"id": "web", "hash": hash_of("k"), "scopes": ["route"]} | changes


def test_keys_are_long_random_and_hashed() -> None:
    keys = {new_key() for _ in range(50)}
    assert len(keys) == 50
    assert all(re.fullmatch(r"emf_[A-Za-z0-9_-]{43}", key) for key in keys)
    assert hash_of("abc") == "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"hash": None}, "exactly one of `hash` and `hash_from`"),
        ({"hash_from": {"env": "H"}}, "exactly one of `hash` and `hash_from`"),
        ({"hash": "emf_the-key-itself"}, "should match pattern"),
        ({"scopes": []}, "at least 1"),
        ({"scopes": ["everything"]}, "Input should be"),
        ({"expires": "2027-01-01T00:00:00"}, "must have a time zone"),
    ],
)
def test_entries_that_make_no_sense_are_refused(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ApiKeySettings.model_validate(entry(**changes))
    assert problem in str(caught.value)


def test_all_keys_are_compared_and_the_right_one_is_found() -> None:
    ring = KeyRing(AuthSettings.model_validate({"keys": [entry(id=name, hash=hash_of(name)) for name in ("a", "b", "c")]}), NOWHERE)
    found = [ring.find(name) for name in ("a", "b", "c", "d", "")]
    assert [key.id if key else None for key in found] == ["a", "b", "c", None, None]


def test_a_key_expires_at_its_moment() -> None:
    moment = datetime(2027, 1, 1, tzinfo=UTC)
    key = KnownKey("web", hash_of("k"), frozenset(), moment)
    assert [key.expired(moment.replace(year=2026)), key.expired(moment)] == [False, True]


def test_ids_are_unique_and_hashes_are_hashes() -> None:
    with pytest.raises(ConfigurationError, match="ids must be unique, given twice: web"):
        read_keys(AuthSettings.model_validate({"keys": [entry(), entry(hash=hash_of("other"))]}), NOWHERE)
    kept = AuthSettings.model_validate({"keys": [entry(hash=None, hash_from={"env": "H"})]})
    with pytest.raises(ConfigurationError, match=r"server\.auth\.keys\.0\.hash_from: environment variable H is not set"):
        read_keys(kept, NOWHERE)
    with pytest.raises(ConfigurationError, match="64 hexadecimal digits") as caught:
        read_keys(kept, SecretSource({"H": "emf_the-key-itself"}, Path()))
    assert "the-key-itself" not in str(caught.value)
    assert read_keys(kept, SecretSource({"H": hash_of("k")}, Path()))[0].hash == hash_of("k")


@pytest.mark.parametrize(
    ("service", "bootstrap"),
    [
        (router_service_pb2.DESCRIPTOR.services_by_name["RouterService"], router_service.bootstrap),
        (judge_service_pb2.DESCRIPTOR.services_by_name["JudgeService"], judge_service.bootstrap),
        (cascade_service_pb2.DESCRIPTOR.services_by_name["CascadeService"], cascade_service.bootstrap),
    ],
)
def test_every_method_has_a_scope(service: Any, bootstrap: Any, tmp_path: Path) -> None:
    loaded = load_settings(write_config(tmp_path, models={"m": "http://127.0.0.1:1/v1"}), {})
    assert set(bootstrap.access_rules(loaded).scopes) == {f"{service.full_name}/{method.name}" for method in service.methods}


def test_the_configuration_shows_places_and_times_and_wants_a_key_for_the_services(tmp_path: Path) -> None:
    auth = {"keys": [entry(expires="2027-01-01T00:00:00Z")], "keys_file": "keys.yaml"}
    without = write_config(tmp_path, models={"m": "http://127.0.0.1:1/v1"}, server={"auth": auth})
    with pytest.raises(ConfigurationError, match=r"`services\.api_key` must be set when `server\.auth` is"):
        load_settings(without, {})
    own = {"api_key": {"env": "OWN"}}
    settings = load_settings(
        write_config(tmp_path, models={"m": "http://127.0.0.1:1/v1"}, server={"auth": auth}, services=own), {}
    ).settings
    assert settings.server.auth is not None
    assert settings.server.auth.keys_file == str(tmp_path / "keys.yaml")
    assert masked(settings)["server"]["auth"]["keys"][0]["expires"] == "2027-01-01T00:00:00+00:00"


def test_the_command_line_makes_a_key_that_the_configuration_takes(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    ended = run_command(capsys, "keys", "new", "--scope", "complete", "--scope", "read", "--id", "web", "--expires-in-days", "30")
    key, line = ended.out.strip(), ended.err.strip().splitlines()[-1]
    assert ended.exit_code == 0
    assert key not in ended.err
    (tmp_path / "keys.yaml").write_text(f"keys:\n{line}\n")
    (known,) = read_keys(AuthSettings(keys_file=str(tmp_path / "keys.yaml")), NOWHERE)
    assert (known.id, known.hash, known.scopes) == ("web", hash_of(key), {"complete", "read"})
    assert known.expires is not None
    refused = run_command(capsys, "keys", "new", "--scope", "all")
    assert refused.exit_code == 2
    assert "`--scope` is all; allowed: route, judge, complete, feedback, read" in refused.err
