"""Whether two versions of an event can be read by each other's readers.

Both ways: today's code reads every message that was ever written (backward), and a reader of any earlier version reads
what is written today (forward). Readers ignore fields that they do not know, so a new optional field breaks nobody.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from usercenter.events.schema import PERSONAL

_WORDS: Final = frozenset({"$schema", "$id", "title", "description", "examples", "$defs", PERSONAL})
"""What says something to people and nothing about the bytes."""


def breaks(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What the newer schema does to readers and messages of the older one, one sentence each; empty when nothing."""
    return list(_compare(_resolved(old, old), _resolved(new, new), ""))


def is_same(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether both describe the same bytes and the same personal fields, whatever words they use for it."""
    return bool(_bare(_resolved(old, old), keep_marks=True) == _bare(_resolved(new, new), keep_marks=True))


def _compare(old: Any, new: Any, path: str) -> Iterator[str]:
    if "properties" in old and "properties" in new:
        yield from _compare_objects(old, new, path)
    elif "enum" in old and "enum" in new:
        yield from _compare_choices(old, new, path)
    elif "anyOf" in old and "anyOf" in new and len(old["anyOf"]) == len(new["anyOf"]):
        for before, after in zip(old["anyOf"], new["anyOf"], strict=True):
            yield from _compare(before, after, path)
    elif "items" in old and "items" in new:
        yield from _compare(old["items"], new["items"], f"{path}[]")
        yield from _compare_rest(old, new, path, beside=frozenset({"items"}))
    else:
        yield from _compare_rest(old, new, path)
    if "default" in old and "default" in new and old["default"] != new["default"]:
        yield f"{path} absent meant {old['default']!r} and now means {new['default']!r}"
    if old.get(PERSONAL) and not new.get(PERSONAL):
        yield f"{path} was personal and no longer is: the copies made before still are"


def _compare_objects(old: Any, new: Any, path: str) -> Iterator[str]:
    before, after = old["properties"], new["properties"]
    was_required, is_required = set(old.get("required", ())), set(new.get("required", ()))
    for name in before:
        where = f"{path}.{name}" if path else name
        if name not in after:
            yield f"{where} is gone: a field is never removed or renamed"
            continue
        yield from _compare(before[name], after[name], where)
        if name in is_required - was_required:
            yield f"{where} was optional and is required now: earlier messages lack it"
        if name in was_required - is_required:
            yield f"{where} was required and is optional now: earlier readers need it"
    for name in after:
        where = f"{path}.{name}" if path else name
        if name not in before and name in is_required:
            yield f"{where} is new and required: earlier messages lack it"
        elif name not in before and old.get("additionalProperties") is False:
            yield f"{where} is new: earlier readers refuse fields that they do not know"
    yield from _compare_rest(old, new, path, beside=frozenset({"properties", "required"}))


def _compare_choices(old: Any, new: Any, path: str) -> Iterator[str]:
    gone = [value for value in old["enum"] if value not in new["enum"]]
    added = [value for value in new["enum"] if value not in old["enum"]]
    if gone:
        yield f"{path} no longer allows {_listed(gone)}: earlier messages have it"
    if added:
        yield f"{path} allows {_listed(added)}: earlier readers refuse it"


def _compare_rest(old: Any, new: Any, path: str, beside: frozenset[str] = frozenset()) -> Iterator[str]:
    before, after = (
        {key: value for key, value in _bare(schema).items() if key not in beside | {"default"}} for schema in (old, new)
    )
    if before != after:
        yield f"{path} was {before} and is {after}: a field keeps its type"


def _listed(values: list[Any]) -> str:
    return ", ".join(map(repr, values))


def _resolved(schema: Any, root: Mapping[str, Any], inside: tuple[str, ...] = ()) -> Any:
    """The schema with its references put in place; one that leads back into itself stays a name."""
    if isinstance(schema, list):
        return [_resolved(each, root, inside) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        if name in inside:
            return {"$ref": name}
        rest = {key: value for key, value in schema.items() if key != "$ref"}
        return {**_resolved(root["$defs"][name], root, (*inside, name)), **rest}
    return {key: _resolved(value, root, inside) for key, value in schema.items() if key != "$defs"}


def _bare(schema: Any, *, keep_marks: bool = False) -> Any:
    """The schema without its words; names of fields are not mistaken for such."""
    if isinstance(schema, list):
        return [_bare(each, keep_marks=keep_marks) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    words = _WORDS - {PERSONAL} if keep_marks else _WORDS
    return {
        key: {name: _bare(each, keep_marks=keep_marks) for name, each in value.items()}
        if key == "properties"
        else value
        if key == "default"
        else _bare(value, keep_marks=keep_marks)
        for key, value in schema.items()
        if key not in words
    }
