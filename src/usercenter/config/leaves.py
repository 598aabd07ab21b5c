"""The model seen flat: every setting by its dotted key, with its type, its default and its environment variable."""

from collections.abc import Iterator
from functools import cache, reduce
from typing import Any, get_args

import msgspec
from msgspec import inspect

from usercenter.config.model import Config, Settings

PREFIX = "USERCENTER_"
FILE_SUFFIX = "_FILE"


class Leaf(msgspec.Struct, frozen=True):
    """One setting that has a value of its own (a list and `kafka.librdkafka` are one setting each)."""

    key: str
    annotation: Any
    default: Any

    @property
    def name(self) -> str:
        """The last word of the key."""
        return self.key.rpartition(".")[2]

    @property
    def variable(self) -> str:
        """`kafka.group_id` is set by `USERCENTER_KAFKA__GROUP_ID`."""
        return PREFIX + self.key.replace(".", "__").upper()

    @property
    def shape(self) -> inspect.Type:
        """The type with its bounds, without the marks around it."""
        kind = inspect.type_info(self.annotation)
        return kind.type if isinstance(kind, inspect.Metadata) else kind

    @property
    def is_secret(self) -> bool:
        """Whether no message may show the value; free mappings count, for they may hold passwords."""
        kind = inspect.type_info(self.annotation)
        if isinstance(kind, inspect.Metadata):
            return bool((kind.extra or {}).get("secret"))
        return isinstance(kind, inspect.DictType)

    @property
    def choices(self) -> tuple[str, ...]:
        """The words to choose from, in the model's order; empty where any value within the bounds will do."""
        return get_args(self.annotation) if isinstance(self.shape, inspect.LiteralType) else ()

    def of(self, config: Config) -> Any:
        """The value that this configuration has for it."""
        return reduce(getattr, self.key.split("."), config)

    def convert(self, value: Any) -> Any:
        """The value itself if the model takes it; raises `msgspec.ValidationError` if not."""
        return msgspec.convert(value, self.annotation)


def _walk(section: Settings, prefix: str) -> Iterator[Leaf]:
    for field in msgspec.structs.fields(section):
        value, key = getattr(section, field.name), prefix + field.name
        if isinstance(value, Settings):
            yield from _walk(value, f"{key}.")
        else:
            yield Leaf(key, field.type, value)


@cache
def leaves() -> dict[str, Leaf]:
    """Every setting by its dotted key, in the model's order."""
    return {leaf.key: leaf for leaf in _walk(Config(), "")}


@cache
def sections() -> dict[str, tuple[str, ...]]:
    """The names inside each section, by the section's dotted key; the whole file is the section ""."""
    names: dict[str, dict[str, None]] = {}
    for key in leaves():
        parts = key.split(".")
        for depth, name in enumerate(parts):
            names.setdefault(".".join(parts[:depth]), {})[name] = None
    return {key: tuple(inside) for key, inside in names.items()}
