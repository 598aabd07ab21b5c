"""Where the running parts listen, kept as `endpoints.json` so that a command in another terminal finds them."""

import os
from pathlib import Path

import msgspec

FILE = "endpoints.json"


class Endpoints(msgspec.Struct, frozen=True, kw_only=True):
    """Addresses of one running instance; empty where the part is not embedded.

    `pid` is the process that started the parts; `server_url` is filled in by the one who starts the API.
    """

    brokers: list[str] = []
    database_url: str = ""
    cache_url: str = ""
    smtp_host: str = ""
    smtp_port: int = 0
    mail_dir: str = ""
    sms_url: str = ""
    sms_dir: str = ""
    token_key_file: str = ""
    server_url: str = ""
    pid: int = 0


def write(data_dir: Path, endpoints: Endpoints) -> None:
    """Replace what is written there. The file carries passwords: only its owner may read it."""
    path = data_dir / FILE
    fresh = path.with_suffix(".new")
    fresh.touch(mode=0o600)
    fresh.write_bytes(msgspec.json.format(msgspec.json.encode(endpoints)))
    fresh.replace(path)


def read(data_dir: Path) -> Endpoints | None:
    """The endpoints of the instance that runs on this directory, or None where none does."""
    try:
        endpoints = msgspec.json.decode((data_dir / FILE).read_bytes(), type=Endpoints)
    except FileNotFoundError:
        return None
    return endpoints if is_alive(endpoints.pid) else None


def remove(data_dir: Path) -> None:
    """Forget them; may be called twice."""
    (data_dir / FILE).unlink(missing_ok=True)


def is_alive(pid: int) -> bool:
    """Whether a process of this number exists, whoever owns it."""
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
