"""What a person reads when a command cannot do its work: the reason and the next step on stderr, and a status."""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from usercenter.cli import CHECK_FAILED, FINE, UNREACHABLE, WRONG_USAGE

BROKERS_ASKED: Final[list[str]] = []
"""Those of the configuration that this process's command works with, to be named when none of them answers."""

DATABASES_ASKED: Final[list[str]] = []
"""The one of that configuration, to say why it gives no connection."""
_ASKED_AGAIN_SECONDS: Final = 3


class CommandFailed(Exception):
    """The command did not do what it was asked to; the message says why and what to do next."""

    def __init__(self, message: str, *, status: int = CHECK_FAILED) -> None:
        super().__init__(message)
        self.status = status


@contextmanager
def explained() -> Iterator[None]:
    """Turn the failures that we know into a message and an exit status; others keep their traceback."""
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # the reader has seen enough: `… | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FINE)
    except Exception as error:
        status = _status(error)
        if status is None:
            raise
        from usercenter.cli.terminal import plain_lines

        sys.stderr.write(f"usercenter: {plain_lines(_told(error))}\n")
        sys.exit(status)


def _told(error: Exception) -> str:
    """What a person reads."""
    from psycopg.errors import InsufficientPrivilege

    from usercenter.db import SCHEMA_UNFIT, DatabaseUnavailable, first_line
    from usercenter.messaging import advice
    from usercenter.messaging.client import BrokerFailure

    if isinstance(error, BrokerFailure):
        return advice.told(error, brokers=BROKERS_ASKED)
    if isinstance(error, SCHEMA_UNFIT):
        return f"the schema is not what this version needs ({first_line(error)}): run `usercenter db upgrade`"
    if isinstance(error, InsufficientPrivilege):
        return f"PostgreSQL says {first_line(error)}: give the role of database.url that right, or name another role"
    if isinstance(error, UnicodeEncodeError):
        return "an argument is not UTF-8: write it anew"
    if isinstance(error, DatabaseUnavailable) and (reason := _why_no_database()):
        return f"{error}\n  {reason}"
    return str(error)


def _why_no_database() -> str | None:
    """What PostgreSQL, or the way to it, says to one more attempt: host and reason."""
    import psycopg

    for url in DATABASES_ASKED:
        try:
            psycopg.connect(url, connect_timeout=_ASKED_AGAIN_SECONDS).close()
        except psycopg.Error as error:
            return " ".join(str(error).split())
    return None


def guess(word: str, known: Iterable[str]) -> str:
    """`, did you mean …?` with the nearest of those that are known; empty where none is near."""
    from difflib import get_close_matches

    return "".join(f", did you mean {near}?" for near in get_close_matches(word, list(known), n=1))


def _status(error: Exception) -> int | None:
    """The exit status for an error that explains itself; imports late, for this is the slow path."""
    from psycopg.errors import InsufficientPrivilege

    from usercenter.bootstrap import TracingUnavailable
    from usercenter.config import ConfigInvalid
    from usercenter.db import SCHEMA_UNFIT, DatabaseUnavailable
    from usercenter.embedded.errors import EmbeddedError, NothingRunning, ToolFailed, UnknownTool
    from usercenter.extension import ExtensionInvalid
    from usercenter.messaging import advice
    from usercenter.messaging.apart import Unanswered
    from usercenter.messaging.client import BrokerFailure
    from usercenter.messaging.consumer_groups import GroupMissing
    from usercenter.messaging.operations.replay_plan import ReplayRefused
    from usercenter.messaging.operations.replays import ReplayBusy, ReplayUnknown
    from usercenter.messaging.operations.selection import SelectionInvalid
    from usercenter.messaging.resets import GroupBusy
    from usercenter.messaging.topics import TopicMissing
    from usercenter.notify.errors import TemplateUnknown
    from usercenter.server import PortTaken

    if isinstance(error, CommandFailed):
        return error.status
    if _is_no_text(error) or isinstance(
        error, ConfigInvalid | ExtensionInvalid | TemplateUnknown | SelectionInvalid | ReplayRefused | UnknownTool
    ):
        return WRONG_USAGE
    if isinstance(error, BrokerFailure):
        return UNREACHABLE if advice.is_absence(error) else CHECK_FAILED
    if isinstance(error, DatabaseUnavailable | NothingRunning | ToolFailed | Unanswered):
        return UNREACHABLE
    if isinstance(
        error,
        (
            EmbeddedError,
            PortTaken,
            TracingUnavailable,
            TopicMissing,
            GroupMissing,
            GroupBusy,
            ReplayBusy,
            ReplayUnknown,
            InsufficientPrivilege,
            *SCHEMA_UNFIT,
        ),
    ):
        return CHECK_FAILED
    return None


def _is_no_text(error: Exception) -> bool:
    """Whether bytes of the command line that are not UTF-8, which Python keeps as surrogates, were to be text."""
    return isinstance(error, UnicodeEncodeError) and error.reason == "surrogates not allowed"
