"""`usercenter brokers`."""

from typing import Any

from usercenter.cli import UNREACHABLE
from usercenter.cli.failures import CommandFailed
from usercenter.cli.operating import Json
from usercenter.cli.settings import ConfigFile, of_running
from usercenter.cli.terminal import show_json, show_table


def brokers(*, json: Json = False, versions: bool = False, config: ConfigFile = None) -> None:
    """List the brokers: where they are, whether they can be reached, their version, and which one is the controller.

    Parameters
    ----------
    json: Print JSON, with the versions of every API.
    versions: Print the versions of every API too.
    """
    from usercenter.clock import SystemClock
    from usercenter.messaging.brokers import BrokerWatch

    kafka = of_running(config).kafka
    watch = BrokerWatch(kafka, clock=SystemClock())
    state = watch.look_once()
    if json:
        show_json(state)
    if not state.is_reachable:
        raise CommandFailed(f"{state.error}; {state.next_step}", status=UNREACHABLE)
    if json:
        return
    rows = [(each.id, each.address, each.release, _role(state, each.id), each.error) for each in state.brokers]
    show_table(("id", "address", "version", "role", "problem"), rows)
    if versions:
        for each in state.brokers:
            show_table((f"API of {each.id}", "versions"), list(each.api_versions.items()))


def _role(state: Any, id: int) -> str:
    return "controller" if id == state.controller else "broker"
