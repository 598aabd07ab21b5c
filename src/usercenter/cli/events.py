"""`usercenter events`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
from cyclopts import Parameter

from usercenter.cli import CHECK_FAILED, FINE, WRONG_USAGE
from usercenter.cli.failures import CommandFailed
from usercenter.cli.loading import loaded
from usercenter.cli.operating import Json
from usercenter.cli.settings import ConfigFile
from usercenter.cli.terminal import plain, plain_lines, say, show_json, show_table
from usercenter.cli.terminal import show as show_line

if TYPE_CHECKING:
    from usercenter.cli.catalogue import Catalogue

EventType = Annotated[str, Parameter(help="The event's type, such as user.registered.")]
Write = Annotated[bool, Parameter(negative="", help="Store schemas that are new and compatible as the next version.")]
Folder = Annotated[Path, Parameter(help="Where to; a folder below the current one, whose path is the package's name.")]


def list_(*, json: Json = False, config: ConfigFile = None) -> None:
    """List every event that the service knows, its extensions' too: topic, owner, handlers."""
    catalogue = _catalogue(config)
    rows = [catalogue.row(event_class) for event_class in catalogue.classes.values()]
    if json:
        show_json(rows)
        return
    table = [(row.type, row.topic, row.owner, ", ".join(row.handlers) or "-") for row in rows]
    show_table(("type", "topic", "owner", "handlers"), table)


def show(type: EventType, /, *, json: Json = False, config: ConfigFile = None) -> None:  # the argument's own word
    """Show one event: what it means, its fields, who reacts to it, and an example of the wire format."""
    from usercenter.events.page import section
    from usercenter.events.schema import schema_of

    catalogue = _catalogue(config)
    event_class = catalogue.one(type)
    text = section(event_class, catalogue.reactions.get(event_class, ())).strip()
    if json:
        row = msgspec.structs.asdict(catalogue.row(event_class))
        show_json({**row, "page": text, "schema": schema_of(event_class)})
    else:
        show_line(plain_lines(text))


def schema(
    type: EventType | None = None,  # the argument's own word
    /,
    *,
    asyncapi: Annotated[
        bool, Parameter(negative="", help="One document with topics, messages, keys and headers, for code generators.")
    ] = False,
    config: ConfigFile = None,
) -> None:
    """Print the JSON Schema (2020-12) of one event, or of all by type; or all topics as an AsyncAPI 3.0 document."""
    from usercenter.events.schema import schema_of

    catalogue = _catalogue(config)
    if asyncapi and type is not None:
        raise CommandFailed("--asyncapi is about all events; leave the type out", status=WRONG_USAGE)
    if asyncapi:
        show_json(catalogue.asyncapi())
    elif type is not None:
        show_json(schema_of(catalogue.one(type)))
    else:
        show_json({name: schema_of(each) for name, each in catalogue.classes.items()})


def check(*, write: Write = False, json: Json = False, config: ConfigFile = None) -> int:
    """Compare today's classes with the stored schemas of all earlier versions; status 1 when something breaks.

    Both ways: today's code must read every message ever written, and earlier readers must read today's. An extension's
    schemas lie in a folder `schemas` beside its module.
    """
    from usercenter.events import history

    found: list[dict[str, str]] = []
    stored: list[dict[str, str]] = []
    for folder, classes in _catalogue(config).by_folder.items():
        by_type = {each.__struct_config__.tag: each for each in classes}
        for finding in history.check(classes, folder):
            of_type = {"type": finding.type}
            found += [
                of_type | {"problem": f"{each}; give the new form a new type instead"} for each in finding.problems
            ]
            if finding.is_new and write:
                stored.append(of_type | {"file": str(history.write(by_type[finding.type], folder))})
            elif finding.is_new:
                found.append(of_type | {"problem": "compatible, but not stored; run `usercenter events check --write`"})
    is_fine = not found
    if json:
        show_json({"is_fine": is_fine, "problems": found, "stored": stored})
    for each in [] if json else found:
        show_line(plain(f"{each['type']}: {each['problem']}"))
    for each in [] if json else stored:
        show_line(plain(f"{each['type']}: stored as {each['file']}"))
    say("every version can be read by every other" if is_fine else "not fine")
    return FINE if is_fine else CHECK_FAILED


def docs(*, config: ConfigFile = None) -> None:
    """Print the catalogue of all events as one Markdown page."""
    from usercenter.events.page import page

    catalogue = _catalogue(config)
    show_line(plain_lines(page(list(catalogue.classes.values()), catalogue.reactions)))


def new(type: EventType, /, *, folder: Folder = Path(), json: Json = False) -> None:  # the argument's own word
    """Write a new event: one file with class, handler and extension, and its test beside it. Overwrites nothing."""
    from usercenter.cli import new_event

    module, files = new_event.write(type, folder)
    if json:
        show_json([str(file) for file in files])
    for file in [] if json else files:
        show_line(plain(str(file)))
    for line in ("", *new_event.next_steps(type, module, files[1]).splitlines()):
        say(line)


def _catalogue(config: Path | None) -> "Catalogue":
    from usercenter.cli.catalogue import Catalogue

    return Catalogue(loaded(config).config)
