"""`usercenter events`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from usercenter.cli import CHECK_FAILED, FINE, WRONG_USAGE
from usercenter.cli.failures import CommandFailed
from usercenter.cli.settings import ConfigFile, loaded

if TYPE_CHECKING:
    from usercenter.cli.catalogue import Catalogue


def list_(*, json: bool = False, config: ConfigFile = None) -> None:
    """List every event that the service knows, its extensions' too: topic, owner, handlers.

    Example: usercenter events list

    Parameters
    ----------
    json: Print JSON.
    """
    catalogue = _catalogue(config)
    rows = [catalogue.row(event_class) for event_class in catalogue.classes.values()]
    if json:
        print(msgspec.json.encode(rows).decode())  # noqa: T201
        return
    widths = [max(len(getattr(row, name)) for row in rows) for name in ("type", "topic", "owner")]
    for row in rows:
        handlers = ", ".join(row.handlers) or "-"
        print(f"{row.type:<{widths[0]}}  {row.topic:<{widths[1]}}  {row.owner:<{widths[2]}}  {handlers}")  # noqa: T201


def show(type: str, /, *, config: ConfigFile = None) -> None:  # the argument's own word
    """Show one event: what it means, its fields, who reacts to it, and an example of the wire format.

    Example: usercenter events show user.registered
    """
    from usercenter.events.page import section

    catalogue = _catalogue(config)
    event_class = catalogue.one(type)
    print(section(event_class, catalogue.reactions.get(event_class, ())).strip())  # noqa: T201


def schema(
    type: str | None = None,  # the argument's own word
    /,
    *,
    asyncapi: bool = False,
    config: ConfigFile = None,
) -> None:
    """Print the JSON Schema (2020-12) of one event, or of all by type; or all topics as an AsyncAPI 3.0 document.

    Example: usercenter events schema --asyncapi > asyncapi.json

    Parameters
    ----------
    asyncapi: One document with topics, messages, keys and headers, for code generators and catalogues.
    """
    from usercenter.events.schema import schema_of

    catalogue = _catalogue(config)
    if asyncapi and type is not None:
        raise CommandFailed("--asyncapi is about all events; leave the type out", status=WRONG_USAGE)
    if asyncapi:
        _print(catalogue.asyncapi())
    elif type is not None:
        _print(schema_of(catalogue.one(type)))
    else:
        _print({name: schema_of(each) for name, each in catalogue.classes.items()})


def check(*, write: bool = False, config: ConfigFile = None) -> int:
    """Compare today's classes with the stored schemas of all earlier versions; status 1 when something breaks.

    Both ways: today's code must read every message ever written, and earlier readers must read today's. An extension's
    schemas lie in a folder `schemas` beside its module.

    Example: usercenter events check --write

    Parameters
    ----------
    write: Store the schemas that are new and compatible as the next version.
    """
    from usercenter.events import history

    catalogue, is_fine = _catalogue(config), True
    for folder, classes in catalogue.by_folder.items():
        by_type = {each.__struct_config__.tag: each for each in classes}
        for finding in history.check(classes, folder):
            for problem in finding.problems:
                is_fine = False
                print(f"{finding.type}: {problem}; give the new form a new type instead")  # noqa: T201
            if finding.is_new and write:
                print(f"{finding.type}: stored as {history.write(by_type[finding.type], folder)}")  # noqa: T201
            elif finding.is_new:
                is_fine = False
                print(f"{finding.type}: compatible, but not stored; run `usercenter events check --write`")  # noqa: T201
    print("every version can be read by every other" if is_fine else "not fine", file=sys.stderr)  # noqa: T201
    return FINE if is_fine else CHECK_FAILED


def docs(*, config: ConfigFile = None) -> None:
    """Print the catalogue of all events as one Markdown page.

    Example: usercenter events docs > docs/events.md
    """
    from usercenter.events.page import page

    catalogue = _catalogue(config)
    print(page(list(catalogue.classes.values()), catalogue.reactions))  # noqa: T201


def new(type: str, /, *, folder: Path = Path()) -> None:  # the argument's own word
    """Write a new event: one file with class, handler and extension, and its test beside it. Overwrites nothing.

    Example: usercenter events new user.profile_updated --folder acme

    Parameters
    ----------
    folder: Where to; a folder below the current one, whose path is the package's name.
    """
    from usercenter.cli import new_event

    module, files = new_event.write(type, folder)
    for file in files:
        print(file)  # noqa: T201
    print(f"\n{new_event.next_steps(type, module, files[1])}", file=sys.stderr)  # noqa: T201


def _catalogue(config: Path | None) -> "Catalogue":
    from usercenter.cli.catalogue import Catalogue

    return Catalogue(loaded(config).config)


def _print(document: object) -> None:
    print(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())  # noqa: T201
