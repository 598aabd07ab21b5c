"""From text and YAML nodes to values, and back to words that an operator reads in an error."""

import json
import re
from typing import Any

import yaml
from msgspec import inspect

from usercenter.config.leaves import Leaf

_LONGEST_SHOWN = 80


class Unreadable(ValueError):
    """The text is no value at all; the message says why and shows nothing that may be secret."""


def from_node(leaf: Leaf, node: yaml.Node) -> Any:
    """The value that YAML reads in a node; raises Unreadable. The leaf's own type is not checked yet.

    The entries of a free mapping are taken as they are written: `socket.timeout.ms: 5000` is the text "5000".
    """
    if isinstance(leaf.shape, inspect.DictType) and isinstance(node, yaml.MappingNode):
        return dict(_entry(key, value) for key, value in node.value)
    return _construct(node)


def _entry(key: yaml.Node, value: yaml.Node) -> tuple[str, str]:
    if not isinstance(key, yaml.ScalarNode):
        raise Unreadable(f"line {key.start_mark.line + 1} has a key that is no text")
    if not isinstance(value, yaml.ScalarNode) or value.tag.endswith(":null"):
        raise Unreadable(f"{key.value} needs a text as its value")
    return key.value, value.value


def from_text(leaf: Leaf, text: str) -> Any:
    """The value that an environment variable or a secret file means for this setting; raises Unreadable.

    Text stays as it is, a list may be separated by commas, and the rest is read as JSON or YAML.
    """
    match leaf.shape:
        case inspect.StrType() | inspect.LiteralType():
            return text
        case inspect.ListType():
            is_document = (text.startswith("[") and text.endswith("]")) or text.startswith("- ")
            return _document(text) if is_document else [item.strip() for item in text.split(",") if item.strip()]
        case inspect.DictType():
            return _mapping(leaf, text)
        case _:
            return _document(text)


def _document(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        node = _compose(text)
    return _construct(node) if node else None


def _mapping(leaf: Leaf, text: str) -> Any:
    try:
        value = json.loads(text, parse_int=str, parse_float=str)
    except ValueError:
        node = _compose(text)
        return from_node(leaf, node) if node else {}
    if not isinstance(value, dict):
        return value
    return {key: json.dumps(item) if isinstance(item, bool) else item for key, item in value.items()}


def _construct(node: yaml.Node) -> Any:
    try:
        return yaml.constructor.SafeConstructor().construct_object(node, deep=True)
    except (yaml.YAMLError, ValueError, AttributeError) as error:  # the last for !!timestamp before no timestamp
        raise Unreadable("YAML cannot read this value") from error


def _compose(text: str) -> yaml.Node | None:
    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise Unreadable("neither JSON nor YAML can read this value") from error


def given(leaf: Leaf, value: Any) -> str:
    """What was given, in words: the value itself, or only its kind where it may be secret."""
    if value is None:
        return "no value given"
    if leaf.is_secret:
        return f"{_kind(value)} given"
    quote = "" if isinstance(value, str) or not _takes_text(leaf) else ", which is no text unless it is put in quotes"
    return f"{_shown(value)} given{quote}"


def _takes_text(leaf: Leaf) -> bool:
    return isinstance(leaf.shape, inspect.StrType | inspect.LiteralType)


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str, skipkeys=True)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


def _kind(value: Any) -> str:
    kinds = {str: "text", bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "a mapping"}
    return kinds.get(type(value), "something else")


def allowed(leaf: Leaf) -> str:
    """What the model takes for this setting, in words."""
    if leaf.choices:
        return " | ".join(leaf.choices)
    return _describe(leaf.shape)


def _describe(kind: inspect.Type) -> str:
    match kind:
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType(ge=low, le=None):
            return f"a whole number, {low} or more"
        case inspect.IntType(ge=low, le=high):
            return f"a whole number from {low} to {high}"
        case inspect.StrType():
            return _describe_text(kind)
        case inspect.ListType():
            return f"a list, each entry {_describe(kind.item_type)}; [] for none"
        case _:
            return "a mapping from names to texts, like {name: text}; {} for none"


def _describe_text(kind: inspect.StrType) -> str:
    if kind.pattern and kind.max_length:
        letters = re.sub(r"^\^\[(.*)\]\+\\Z$", r"\1", kind.pattern)
        return f"text of {kind.min_length} to {kind.max_length} characters out of {letters}"
    return "text that is not empty" if kind.min_length else 'text; "" for none'
