"""What a user agent says about the device, in words and as something that a browser update does not change."""

from functools import cache, lru_cache
from typing import Final

import msgspec
from ua_parser import Parser
from ua_parser.loaders import load_builtins
from ua_parser.regex import Resolver

_LONGEST_WORDS: Final = 80


class Device(msgspec.Struct, frozen=True):
    """A browser or an app on a system."""

    words: str
    """For people: `Chrome 140 on Windows`."""
    kind: str
    """The same without versions, which updates change: `Chrome on Windows`."""


@lru_cache(maxsize=4096)
def device_of(user_agent: str | None) -> Device | None:
    """The device behind a `User-Agent` header, None when there is no header; of a program not known, its own name."""
    if not user_agent or not user_agent.strip():
        return None
    program = _parser().parse_user_agent(user_agent)
    system = _parser().parse_os(user_agent)
    if program is not None:
        name, version = program.family, program.major
    else:
        name, _, version = user_agent.split(" (", maxsplit=1)[0].strip().partition("/")
    on = f" on {system.family}" if system else ""
    return Device(words=f"{name} {version or ''}".strip()[:_LONGEST_WORDS] + on, kind=f"{name[:_LONGEST_WORDS]}{on}")


@cache
def _parser() -> Parser:
    """The library's, without its table of models of telephones, which is half of its 26 MB."""
    programs, systems, _ = load_builtins()
    return Parser(Resolver((programs, systems, [])))
