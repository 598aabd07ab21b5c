"""What the tests of the configuration share: a way to load text, and keys that nobody uses elsewhere."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from usercenter.config import ConfigInvalid, Loaded, load

Load = Callable[..., Loaded]
Refuse = Callable[..., list[str]]


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    return tmp_path / "config.yaml"


@pytest.fixture
def load_text(config_file: Path) -> Load:
    """Loads YAML text on a machine whose parts are embedded, so that no address is needed."""

    def load_text(text: str = "", environ: Mapping[str, str] | None = None, *, is_embedded: bool = True) -> Loaded:
        config_file.write_text(text)
        embedded = {"USERCENTER_EMBEDDED__IS_ENABLED": "true"} if is_embedded else {}
        return load(config_file, embedded | dict(environ or {}))

    return load_text


@pytest.fixture
def problems_of(load_text: Load, config_file: Path) -> Refuse:
    """The lines of the error, with the file's long path shortened to its name."""

    def problems_of(*args: object, **named: object) -> list[str]:
        with pytest.raises(ConfigInvalid) as refused:
            load_text(*args, **named)
        return str(refused.value).replace(str(config_file), config_file.name).splitlines()

    return problems_of


@pytest.fixture(scope="session")
def signing_key() -> str:
    key = Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
