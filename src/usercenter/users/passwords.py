"""Passwords: what is accepted, and their hashes (argon2id, 19 MiB, t=2, p=1; OWASP Password Storage Cheat Sheet).

Hashing happens in threads, at most one per core at once, so that it never holds up the event loop and a wave of logins
queues instead of thrashing.
"""

import asyncio
import os
import re
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec
from typing import Final, TypeVar

import argon2
import bcrypt

from usercenter.config.model import Accounts
from usercenter.users.errors import Problem

T = TypeVar("T")

_MEMORY_KIB: Final = 19 * 1024
_MOST_MEMORY_KIB: Final = 256 * 1024
_MOST_ROUNDS: Final = 10
_MOST_LANES: Final = 16
_BCRYPT: Final = re.compile(r"\$2[aby]\$(0[4-9]|1[0-4])\$[./A-Za-z0-9]{53}\Z")
_BCRYPT_BYTES: Final = 72


def check_password(password: str, settings: Accounts) -> Problem | None:
    """The problem with a new password under the configured policy, or None. Length alone counts by default."""
    low, high = settings.password_min_length, settings.password_max_length
    if not low <= len(password) <= high:
        return Problem("password", "length", f"has {len(password)} characters; {low} to {high} are allowed")
    if "\x00" in password:
        return Problem("password", "character", "the character U+0000 is not allowed")
    if settings.refuse_common_passwords and _is_common(password):
        return Problem("password", "common", "is one of the most common passwords; choose a longer or rarer one")
    return None


def _is_common(password: str) -> bool:
    line = password.casefold()
    return "\n" not in line and f"\n{line}\n" in _common_passwords()


@cache
def _common_passwords() -> str:
    """Zxcvbn's list of them, a line each: 0.3 MB. The package itself, which imports all that it has, takes 14."""
    package = find_spec("zxcvbn")
    places = package.submodule_search_locations if package else None
    lists = PathFinder.find_spec("frequency_lists", places)
    if lists is None or lists.loader is None:
        raise ModuleNotFoundError("zxcvbn's list of common passwords is not where it was", name="zxcvbn")
    module = module_from_spec(lists)
    lists.loader.exec_module(module)
    return "\n{}\n".format("\n".join(module.FREQUENCY_LISTS["passwords"]))


def check_hash(password_hash: str) -> Problem | None:
    """The problem with a hash that another system made, or None: argon2id or bcrypt, at a cost that we can bear."""
    if _BCRYPT.match(password_hash):
        return None
    try:
        cost = argon2.extract_parameters(password_hash)
    except (argon2.exceptions.InvalidHashError, ValueError):
        cost = None
    if cost is None or cost.type is not argon2.Type.ID or len(password_hash) > 255:
        return Problem("password_hash", "format", "is no argon2id or bcrypt hash (bcrypt at a cost of 4 to 14)")
    if cost.memory_cost > _MOST_MEMORY_KIB or cost.time_cost > _MOST_ROUNDS or cost.parallelism > _MOST_LANES:
        return Problem("password_hash", "cost", "costs too much to check: at most m=262144, t=10, p=16")
    return None


class Passwords:
    """Hashes and compares; shared by all requests of a process."""

    def __init__(self) -> None:
        self._hasher = argon2.PasswordHasher(time_cost=2, memory_cost=_MEMORY_KIB, parallelism=1)
        self._threads = ThreadPoolExecutor(len(os.sched_getaffinity(0)), thread_name_prefix="argon2")
        self._nobody = self._hasher.hash(os.urandom(16).hex())

    async def hash(self, password: str) -> str:
        """The hash to store; tens of milliseconds of one core, waiting its turn."""
        return await self._in_thread(self._hasher.hash, _normal(password))

    async def matches(self, password: str, password_hash: str | None) -> bool:
        """Whether the password belongs to the hash. Without one (no such user) it takes as long and says no."""
        is_match = await self._in_thread(self._verify, password_hash or self._nobody, _normal(password))
        return is_match and password_hash is not None

    def is_outdated(self, password_hash: str) -> bool:
        """Whether the hash was made with other parameters than today's."""
        return _BCRYPT.match(password_hash) is not None or self._hasher.check_needs_rehash(password_hash)

    def close(self) -> None:
        """Let the threads end."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _verify(self, password_hash: str, password: str) -> bool:
        if _BCRYPT.match(password_hash):  # imported; replaced by one of ours at the first login
            return bcrypt.checkpw(password.encode()[:_BCRYPT_BYTES], password_hash.encode())
        try:
            return self._hasher.verify(password_hash, password)
        except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
            return False

    async def _in_thread(self, function: Callable[..., T], *arguments: str) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)


def _normal(password: str) -> str:
    return unicodedata.normalize("NFC", password)  # the same characters from every keyboard (RFC 8265, OpaqueString)
