"""Where the command line takes certificates and keys from."""

from __future__ import annotations

from pathlib import Path

import pytest
from blockbuster import BlockBuster
from emafusion_cli.checkup import Grade, check_processes
from emafusion_cli.failures import CommandFailed
from emafusion_cli.surroundings import CONNECTION, ConnectionOptions, address_of

from servicekit.settings.load import load_settings
from tests.support.certificates import Authority
from tests.support.suite import write_config

MODELS = {"m": "http://127.0.0.1:1/v1"}


@pytest.fixture
def authority(tmp_path: Path, blocked_event_loop_is_an_error: BlockBuster) -> Authority:
    return Authority(tmp_path / "certs", blocked_event_loop_is_an_error)


@pytest.fixture
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("EMAFUSION_API_KEY", "EMAFUSION_CONFIG"):
        monkeypatch.delenv(name, raising=False)


pytestmark = pytest.mark.usefixtures("_no_environment")


def test_a_target_alone_is_spoken_to_in_clear_text() -> None:
    address = address_of("router", "dns:///elsewhere:1", None)
    assert (address.target, address.tls, address.api_key) == ("dns:///elsewhere:1", None, None)


def test_the_configuration_names_roots_and_key(tmp_path: Path, authority: Authority) -> None:
    (tmp_path / "key").write_text("from-file\n")
    config = write_config(tmp_path, models=MODELS, services={"tls": {"roots": str(authority.roots)}, "api_key": {"file": "key"}})
    address = address_of("router", None, config)
    assert address.tls is not None
    assert address.tls.root_certificates == authority.roots.read_bytes()
    assert address.api_key == "from-file"
    assert "from-file" not in repr(address)


def test_options_and_environment_come_first(tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_text("from-file")
    config = write_config(tmp_path, models=MODELS, services={"api_key": {"file": "key"}})
    monkeypatch.setenv("EMAFUSION_API_KEY", "from-environment")
    assert address_of("router", None, config).api_key == "from-environment"
    monkeypatch.setenv("MINE", "from-mine")
    before = CONNECTION.set(ConnectionOptions(ca=authority.roots, api_key_env="MINE"))
    try:
        address = address_of("router", "dns:///elsewhere:1", None)
    finally:
        CONNECTION.reset(before)
    assert address.tls is not None
    assert address.tls.root_certificates == authority.roots.read_bytes()
    assert address.api_key == "from-mine"


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (ConnectionOptions(cert=Path("a.pem")), "--cert and --key must be given together"),
        (ConnectionOptions(api_key_env="NOT_SET_ANYWHERE"), "environment variable NOT_SET_ANYWHERE is not set"),
    ],
)
def test_options_that_can_not_work_are_refused(options: ConnectionOptions, problem: str) -> None:
    before = CONNECTION.set(options)
    try:
        with pytest.raises(CommandFailed, match=problem):
            address_of("router", "dns:///elsewhere:1", None)
    finally:
        CONNECTION.reset(before)


def test_doctor_tells_of_credentials_that_are_missing(tmp_path: Path) -> None:
    config = write_config(tmp_path, models=MODELS, services={"tls": {"roots": "nowhere.pem"}})
    (finding,) = check_processes(load_settings(config, {}))
    assert (finding.subject, finding.grade) == ("credentials", Grade.MISSING)
    assert "nowhere.pem can't be read" in finding.detail
