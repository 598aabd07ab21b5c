"""Every secret that the tests send or are given, and all that the service said: the first is never in the second.

The harness tells this module of both; `conftest.py` compares at the end of the run.
"""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import httpx

SECRET_FIELDS = {"password", "new_password", "current_password", "token", "refresh_token", "secret"}
SECRET_HEADERS = ("Idempotency-Key", "Authorization")
_SHORTEST = 11
_WORD = re.compile(r"[\w.+-]{8,}", re.ASCII)


class Canaries:
    """The secrets of a test run, and what was said in it."""

    def __init__(self) -> None:
        self._secrets: dict[str, str] = {}
        self._said: dict[str, set[str]] = {}

    def keep(self, kind: str, secret: str) -> None:
        """From now on nobody may say this; what is shorter than eleven characters is but a word."""
        words = [word for word in _WORD.findall(secret) if len(word) >= _SHORTEST]
        if words:
            self._secrets[max(words, key=len)] = kind

    def hear(self, where: str, text: str) -> None:
        """Somebody has said this: a line of a log, what a process wrote."""
        self._said.setdefault(where, set()).update(_WORD.findall(text))

    def hear_files(self, files: Iterable[Path]) -> None:
        """As `hear`, with whole files."""
        for file in files:
            with file.open(encoding="utf-8", errors="replace") as lines:
                for line in lines:
                    self.hear(str(file), line)

    def leaks(self) -> list[str]:
        """Which kind of secret was said where; never the secret itself."""
        return sorted(
            {
                f"{self._secrets[word]} in {where}"
                for where, words in self._said.items()
                for word in words & set(self._secrets)
            }
        )

    async def sent(self, request: httpx.Request) -> None:
        """A hook for HTTP clients: the secrets of a request."""
        for name in SECRET_HEADERS:
            if value := request.headers.get(name):
                self.keep(name, value.removeprefix("Bearer "))
        self._keep_fields(request.content if hasattr(request, "_content") else b"")

    async def answered(self, response: httpx.Response) -> None:
        """A hook for HTTP clients: the secrets of an answer."""
        if response.headers.get("Content-Type", "").startswith("application/json"):
            self._keep_fields(await response.aread())

    def _keep_fields(self, body: bytes) -> None:
        try:
            value = json.loads(body)
        except (ValueError, RecursionError):  # no JSON, or deeper than anybody reads
            return
        for name, secret in _secret_fields(value):
            self.keep(name, secret)


def _secret_fields(value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if name in SECRET_FIELDS and isinstance(inner, str):
                yield name, inner
            yield from _secret_fields(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _secret_fields(inner)


CANARIES = Canaries()
"""Those of this run."""
