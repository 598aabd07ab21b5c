"""What a user agent says about the device, in words and as something that a browser update does not change."""

import re
from functools import cache, lru_cache
from typing import Final

import msgspec
from ua_parser import Parser
from ua_parser.loaders import load_builtins
from ua_parser.regex import Resolver

_LONGEST_NAME: Final = 80
_LONGEST_SYSTEM: Final = 40
_VERSION: Final = re.compile(r" v?\d\S*$")


class Device(msgspec.Struct, frozen=True):
    """A browser or an app on a system."""

    words: str
    """For people: `Chrome 140 on Windows`. At most some 120 characters, whatever the client sent."""
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
    on = f" on {system.family[:_LONGEST_SYSTEM]}" if system else ""
    words = f"{name} {version or ''}".strip()[:_LONGEST_NAME] + on
    return Device(words=words, kind=kind_of(words))


@lru_cache(maxsize=4096)
def kind_of(words: str) -> str:
    """The kind of the device that is told in these words; so the words are all that has to be kept."""
    name, on, system = words.rpartition(" on ")
    return _VERSION.sub("", name) + on + system if on else _VERSION.sub("", words)


@cache
def _parser() -> Parser:
    """The library's, without its table of models of telephones, which is half of its 26 MB."""
    programs, systems, _ = load_builtins()
    return Parser(Resolver((programs, systems, [])))
