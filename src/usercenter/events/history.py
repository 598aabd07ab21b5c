"""The stored schemas: every version of every event that was ever published, and today's classes held against them."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import msgspec

from usercenter.events.compatibility import breaks, is_same
from usercenter.events.envelope import Event, type_of
from usercenter.events.schema import schema_of

OURS: Final = Path(__file__).parent / "schemas"
"""The schemas of the service's own events; an extension has a folder `schemas` beside its module."""


class Finding(msgspec.Struct, frozen=True):
    """What is to be said about one event."""

    type: str
    problems: list[str]
    is_new: bool = False
    """Whether today's schema is compatible and not stored yet."""


def check(event_classes: Iterable[type[Event]], folder: Path) -> list[Finding]:
    """Hold each class against all stored versions of its type, and the folder against the classes. Reads the disk."""
    classes = {type_of(event_class): event_class for event_class in event_classes}
    findings = [_check_one(event_class, folder) for event_class in classes.values()]
    stored = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    gone = [name for name in stored if name not in classes]
    return findings + [Finding(name, ["has stored schemas and no class: messages of it still exist"]) for name in gone]


def write(event_class: type[Event], folder: Path) -> Path:
    """Store today's schema of a class as its next version; returns the file."""
    path = folder / type_of(event_class) / f"{max(versions(event_class, folder), default=0) + 1}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(schema_of(event_class), indent=2, ensure_ascii=False) + "\n")
    return path


def versions(event_class: type[Event], folder: Path) -> dict[int, dict[str, Any]]:
    """The stored schemas of a type by number, the oldest first."""
    files = {int(path.stem): path for path in (folder / type_of(event_class)).glob("*.json")}
    return {number: json.loads(files[number].read_text()) for number in sorted(files)}


def _check_one(event_class: type[Event], folder: Path) -> Finding:
    today, stored = schema_of(event_class), versions(event_class, folder)
    problems: dict[str, int] = {}
    for number, schema in stored.items():
        for text in breaks(schema, today):
            problems[text] = number
    texts = [f"{text} (since version {number})" for text, number in problems.items()]
    latest = next(reversed(stored.values()), None)
    is_new = not texts and (latest is None or not is_same(latest, today))
    return Finding(type_of(event_class), texts, is_new)
