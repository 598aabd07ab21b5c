"""The effective configuration for people: every key, its value and its source, with secrets masked."""

import json
import re
from typing import Any

import msgspec

from usercenter.config.leaves import Leaf, leaves
from usercenter.config.loading import Loaded

MASK = "********"
_SECRET_NAMES = ("password", "passphrase", "secret", "key", "jaas", "oauthbearer.config")


class Row(msgspec.Struct, frozen=True):
    """One setting as `usercenter config check` shows it."""

    key: str
    value: str
    """As it could be written in the file; empty for an empty text."""
    source: str
    """`default`, `file:line`, a variable's name, or a secret file and the variable that names it."""


def rows(loaded: Loaded) -> list[Row]:
    """Every setting in the model's order; no secret is in the result."""
    return [Row(key, _text(value), source) for key, value, source in _masked(loaded)]


def to_json(loaded: Loaded) -> str:
    """`{"kafka.group_id": {"value": "usercenter", "source": "default"}, …}`; no secret is in the result."""
    found = {key: {"value": value, "source": source} for key, value, source in _masked(loaded)}
    return json.dumps(found, ensure_ascii=False, indent=2)


def _masked(loaded: Loaded) -> list[tuple[str, Any, str]]:
    return [(key, _mask(leaf, leaf.of(loaded.config)), str(loaded.sources[key])) for key, leaf in leaves().items()]


def _mask(leaf: Leaf, value: Any) -> Any:
    if isinstance(value, dict):
        return {name: MASK if _names_secret(name) and text else text for name, text in value.items()}
    if not leaf.is_secret or not value:
        return value
    return mask_url(value) if leaf.name == "url" else MASK


def _names_secret(name: str) -> bool:
    return any(word in name.lower() for word in _SECRET_NAMES)


def mask_url(url: str) -> str:
    """The URL with its password hidden, in the authority and in the query; hides too much rather than too little."""
    scheme, mark, rest = url.partition("://")
    if not mark:
        return MASK
    credentials, at, place = rest.rpartition("@")
    user, colon, _ = credentials.partition(":")
    place = re.sub(r"(?i)((?:^|[?&])[^=&]*pass[^=&]*=)[^&]*", rf"\g<1>{MASK}", place)
    return f"{scheme}://{user}{colon and ':' + MASK}{at}{place}"


def _text(value: Any) -> str:
    match value:
        case str():
            return value
        case list():
            return ", ".join(value)
        case _:
            return json.dumps(value, ensure_ascii=False)
