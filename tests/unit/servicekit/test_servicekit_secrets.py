from __future__ import annotations

from pathlib import Path

import pytest

from servicekit.settings.base import SecretRef
from servicekit.settings.secrets import Secret, SecretMissing, SecretSource


def test_a_secret_never_shows() -> None:
    secret = Secret("hunter2")
    assert f"{secret} {secret!r} {[secret]}" == "*** Secret(***) [Secret(***)]"
    assert secret.reveal() == "hunter2"


def test_secrets_come_from_variables_and_files(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from file \nsecond line\n")
    source = SecretSource({"KEY": " from variable "}, tmp_path)
    assert source.read(SecretRef(env="KEY")).reveal() == "from variable"
    assert source.read(SecretRef(file="key")).reveal() == "from file"
    assert source.missing(SecretRef(env="KEY")) == ""


def test_a_missing_secret_names_its_place(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    source = SecretSource({"BLANK": " "}, tmp_path)
    assert source.missing(SecretRef(env="KEY")) == "environment variable KEY is not set"
    assert source.missing(SecretRef(env="BLANK")) == "environment variable BLANK is not set"
    assert source.missing(SecretRef(file="gone")) == f"file {tmp_path}/gone can't be read (No such file or directory)"
    assert source.missing(SecretRef(file="empty")) == f"file {tmp_path}/empty is empty"
    assert source.missing(SecretRef(file="binary")) == f"file {tmp_path}/binary is not UTF-8 text"
    with pytest.raises(SecretMissing):
        source.read(SecretRef(env="KEY"))
