"""Hooks of a run with several workers (`make test`): turns, ports, order, and secrets that a worker found in logs."""

import tempfile
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any

import pytest
from turns import Turns, usual_ports_taken

TURNS = pytest.StashKey[Turns]()
FOLDER = pytest.StashKey[str]()
LEAKS = pytest.StashKey[list[str]]()
SLOWEST_FIRST = ("faults", "journeys", "contract", "simulation")
"""Folders: so that at the end no worker is left alone with minutes of work."""


def told(config: pytest.Config) -> dict[str, Any]:
    """What the run told this worker; empty where one process is all, and in the process that has the workers."""
    return getattr(config, "workerinput", {})


def pytest_configure(config: pytest.Config) -> None:
    config.stash[LEAKS] = []
    if folder := told(config).get("turns"):
        config.stash[TURNS] = Turns(Path(folder))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(config: pytest.Config) -> None:
    run = ExitStack()
    config.add_cleanup(run.close)
    run.enter_context(usual_ports_taken())
    config.stash[FOLDER] = run.enter_context(tempfile.TemporaryDirectory(prefix="usercenter-turns-"))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput["turns"] = node.config.stash[FOLDER]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """What a worker found; one that crashed says nothing, and has failed the run by that."""
    node.config.stash[LEAKS] += getattr(node, "workeroutput", {}).get("leaks", [])


def tell(session: pytest.Session, leaks: list[str]) -> None:
    """Secrets were said: the run has failed. A worker leaves that to the process that has the workers."""
    found = session.config.stash[LEAKS] + leaks
    if told(session.config):
        session.config.workeroutput["leaks"] = found  # type: ignore[attr-defined]
    elif found:
        print("\nsecrets were said:", *sorted(set(found)), sep="\n  ")  # noqa: T201
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if told(config):
        items.sort(key=_place_in_line)


def _place_in_line(item: pytest.Item) -> int:
    folders = item.nodeid.split("/")
    return next((place for place, each in enumerate(SLOWEST_FIRST) if each in folders), len(SLOWEST_FIRST))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Any:
    turns = item.config.stash.get(TURNS, None)
    with turns.taken(alone=item.get_closest_marker("alone") is not None) if turns else nullcontext():
        return (yield)
