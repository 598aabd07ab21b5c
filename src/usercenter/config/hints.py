"""Guesses at what a mistyped key or variable was meant to be."""

from collections.abc import Iterable
from difflib import get_close_matches

from usercenter.config.leaves import FILE_SUFFIX, PREFIX, leaves, sections


def unknown_key(section: str, name: str) -> str:
    """Why `name` is refused in the section "" or `kafka`, with the nearest known key and all that may stand there."""
    known = sections()[section]
    place = f"{section} has the keys" if section else "the file has the sections"
    return f"no such key{_guess(_near_keys(section, name))}; {place} {', '.join(known)}"


def _near_keys(section: str, name: str) -> list[str]:
    """Siblings that look alike, else the same name in another section, else a dotted key that looks alike."""
    siblings = get_close_matches(name, sections()[section], n=1)
    if siblings:
        return [f"{section}.{siblings[0]}" if section else siblings[0]]
    namesakes = [key for key in (*leaves(), *sections()) if key.rpartition(".")[2] == name.rpartition(".")[2]]
    return namesakes[:3] or get_close_matches(name, leaves(), n=1)


def unknown_variable(name: str) -> str:
    """Why the environment variable is refused, with the nearest known one."""
    variables = {leaf.variable: key for key, leaf in leaves().items()}
    known = [*variables, *(variable + FILE_SUFFIX for variable in variables)]
    ends = [variable.removeprefix(PREFIX) for variable in known]
    near = [PREFIX + end for end in get_close_matches(name.removeprefix(PREFIX), ends, n=1)]
    rule = "two underscores stand between section and key, as in USERCENTER_KAFKA__GROUP_ID"
    return f"no setting has this variable{_guess(near)}; {rule}"


def _guess(near: Iterable[str]) -> str:
    names = " or ".join(near)
    return f", did you mean {names}?" if names else ""
