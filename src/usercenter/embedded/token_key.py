"""The key that signs access tokens where everything is embedded: made once, kept in the data directory."""

from pathlib import Path

from joserfc.jwk import OKPKey

FILE = "token-key.pem"


def ensure(data_dir: Path) -> Path:
    """The file of an Ed25519 private key (PEM, PKCS #8), readable by its owner alone; made if it is missing."""
    path = data_dir / FILE
    if not path.exists():
        fresh = path.with_suffix(".new")
        fresh.touch(mode=0o600)
        fresh.write_bytes(OKPKey.generate_key("Ed25519").as_pem(private=True))
        fresh.rename(path)
    return path
