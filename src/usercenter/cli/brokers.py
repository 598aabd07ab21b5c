"""`usercenter brokers`."""

from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from usercenter.cli import UNREACHABLE
from usercenter.cli.failures import CommandFailed
from usercenter.cli.operating import Json
from usercenter.cli.overview import Live, seen
from usercenter.cli.settings import ConfigFile, of_running
from usercenter.cli.terminal import show_json, show_table

if TYPE_CHECKING:
    from usercenter.messaging.brokers import KafkaState
    from usercenter.messaging.overviews import Overview

Versions = Annotated[bool, Parameter(negative="", help="Print the versions of every API too; JSON has them anyway.")]


def brokers(*, json: Json = False, versions: Versions = False, live: Live = False, config: ConfigFile = None) -> None:
    """List the brokers: where they are, whether they can be reached, their version, and which one is the controller.

    As the service saw them a moment ago; --live asks them now, and so does this command when the service could not.
    """
    from usercenter.messaging import live as brokers_now

    settings = of_running(config)
    found = seen(settings, _reached, lambda: brokers_now.brokers(settings.kafka), is_live=live)
    state = found.what
    if json:
        show_json(found.told(kafka=state))
    if not state.is_reachable:
        raise CommandFailed(f"{state.error}; {state.next_step}", status=UNREACHABLE)
    if json:
        return
    rows = [(each.id, each.address, each.release, _role(state, each.id), each.error) for each in state.brokers]
    show_table(("id", "address", "version", "role", "problem"), rows)
    if versions:
        for each in state.brokers:
            show_table((f"api of broker {each.id}", "versions"), list(each.api_versions.items()))


def _reached(overview: "Overview") -> "KafkaState | None":
    """An overview without an answer from the brokers is none."""
    return overview.state if overview.cluster and overview.state.is_reachable else None


def _role(state: Any, id: int) -> str:
    return "controller" if id == state.controller else "broker"
