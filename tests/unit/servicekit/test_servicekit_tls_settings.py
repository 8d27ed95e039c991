"""What the configuration says about TLS, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from servicekit.settings.load import ConfigurationError, load_settings
from tests.support.suite import write_config


def configuration(folder: Path, **sections: Any) -> Path:
    return write_config(folder, models={"only": "http://127.0.0.1:1/v1"}, **sections)


SERVER = {"certificate": "certs/server.pem", "private_key": "certs/server.key"}


def test_paths_start_at_the_file(tmp_path: Path) -> None:
    path = configuration(tmp_path, server={"tls": {**SERVER, "client_roots": "roots.pem"}}, services={"tls": {"roots": "/etc/roots.pem"}})
    settings = load_settings(path, {}).settings
    assert settings.server.tls is not None
    assert settings.services.tls is not None
    assert settings.server.tls.certificate == str(tmp_path / "certs/server.pem")
    assert settings.server.tls.private_key == str(tmp_path / "certs/server.key")
    assert settings.server.tls.client_roots == str(tmp_path / "roots.pem")
    assert settings.services.tls.roots == "/etc/roots.pem"


@pytest.mark.parametrize(
    ("sections", "problem"),
    [
        ({"server": {"tls": SERVER}}, "`services.tls` must be set when `server.tls` is"),
        ({"services": {"tls": {"certificate": "a.pem"}}}, "`certificate` and `private_key` must be set together"),
        (
            {"services": {"router": {"listen": "127.0.0.1:1", "target": "dns:///r:1", "allowed_callers": ["cascade.test"]}}},
            "`services.router.allowed_callers` needs `server.tls.client_roots`",
        ),
        ({"server": {"tls": {"certificate": "a.pem"}}}, "server.tls.private_key: field required"),
    ],
)
def test_what_can_not_work_is_refused(tmp_path: Path, sections: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(configuration(tmp_path, **sections), {})
    assert problem in str(caught.value)


def test_decisions_do_not_depend_on_tls(tmp_path: Path) -> None:
    plain = load_settings(configuration(tmp_path), {}).policy_hash
    path = configuration(tmp_path, server={"tls": SERVER}, services={"tls": {}})
    assert yaml.safe_load(path.read_text())["server"]["tls"] == SERVER
    assert load_settings(path, {}).policy_hash == plain
