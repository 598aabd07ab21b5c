"""What a shell offers for an argument when somebody presses Tab; asked by the script of `usercenter completion`."""

from itertools import combinations
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cyclopts.completion import CompletionContext

    from usercenter.messaging.groups import Group


def roles(_: "CompletionContext") -> list[str]:
    """Every set of roles."""
    from usercenter.bootstrap import ROLES

    return [",".join(some) for number in range(1, len(ROLES) + 1) for some in combinations(ROLES, number)]


def tools(_: "CompletionContext") -> list[str]:
    """The names of Kafka's tools."""
    from usercenter.embedded.kafka_tools import MAIN_CLASSES

    return sorted(MAIN_CLASSES)


def groups(context: "CompletionContext") -> list[str]:
    """The consumer groups of the configuration."""
    return [group.name for group in _groups(context)]


def handlers(context: "CompletionContext") -> list[str]:
    """The handlers of the configuration, its extensions' too."""
    from usercenter.messaging.groups import handlers_by_name

    return sorted(handlers_by_name(_groups(context)))


def stoppable(context: "CompletionContext") -> list[str]:
    """What may have stopped itself: groups and handlers."""
    return [*groups(context), *handlers(context)]


def _groups(context: "CompletionContext") -> "Sequence[Group]":
    from usercenter.bootstrap import reactions_of
    from usercenter.cli.loading import loaded

    return reactions_of(loaded(context["config"].value).config)[1]
