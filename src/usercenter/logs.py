"""Logs: one JSON object a line, on stderr and in a rotating file; constant event names, facts as keywords.

Names are `room.thing_happened`; everything that concerns Kafka begins with `kafka.`, so `tail -f logs/usercenter.log |
grep kafka` follows it. Ids instead of people: no name, address or text of a user goes into a log line.
"""

import json
import logging
import logging.handlers
import re
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog

from usercenter.config.model import Logging as Settings

_ACTING: Final = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
"""Control characters and all that turns the writing direction; in JSON they can only stand within strings."""
_FIRST: Final = ("timestamp", "level", "event")
_LINE: Final = "usercenter_line"
_DATA_EXCEPTION: Final = "22"  # the SQLSTATE class whose messages quote the value


class _Once(structlog.stdlib.ProcessorFormatter):
    """Writes a line out once, for every handler that prints it and for the one that asks how long it is."""

    def format(self, record: logging.LogRecord) -> str:
        line: str | None = record.__dict__.get(_LINE)
        if line is None:
            line = record.__dict__[_LINE] = super().format(record)
        return line


def configure(settings: Settings, *, to_stderr: bool = True) -> None:
    """Send all logs, ours and the libraries', to stderr and to the file. May be called twice: the last call counts."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="timestamp"),
        structlog.processors.ExceptionRenderer(_stacks),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    formatter = _Once(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.JSONRenderer(_json),
        ],
    )
    _replace_handlers(logging.getLogger(), _handlers(settings, to_stderr=to_stderr), formatter)
    logging.getLogger().setLevel(settings.level.upper())
    for name in ("alembic", "httpx", "httpcore", "uvicorn.error", "aiosmtpd", "mail.log"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _handlers(settings: Settings, *, to_stderr: bool) -> list[logging.Handler]:
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)] if to_stderr else []
    if settings.file:
        path = Path(settings.file)
        path.parent.mkdir(parents=True, exist_ok=True)
        handlers.append(
            logging.handlers.RotatingFileHandler(
                path, maxBytes=settings.max_bytes, backupCount=settings.backups, encoding="utf-8", delay=True
            )
        )
    return handlers


def _replace_handlers(logger: logging.Logger, handlers: list[logging.Handler], formatter: logging.Formatter) -> None:
    for old in list(logger.handlers):
        logger.removeHandler(old)
        old.close()
    for handler in handlers:
        handler.setFormatter(formatter)
        logger.addHandler(handler)


def _json(event_dict: structlog.typing.EventDict, **_: object) -> str:
    ordered = {name: event_dict.pop(name, None) for name in _FIRST} | dict(event_dict)
    try:
        return written_out(msgspec.json.encode(ordered, enc_hook=str).decode())
    except UnicodeEncodeError:  # half a surrogate pair: no reason to lose the line
        return json.dumps(ordered, default=str)


def written_out(text: str) -> str:
    """The same JSON with nothing in it that a terminal would obey: JSON itself escapes only the first 32 of these."""
    return _ACTING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _stacks(exc_info: structlog.typing.ExcInfo) -> str:
    """The stacks of an error and its causes; what a database said is told without the rows and values it quotes."""
    text = "".join(traceback.format_exception(*exc_info))
    for each in _causes(exc_info[1]):
        if getattr(each, "diag", None) is not None:  # psycopg's, and only with a server's answer has it a SQLSTATE
            text = text.replace(str(each), _without_values(each))
    return text.rstrip()


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _without_values(error: Any) -> str:
    """The first sentence of a database's complaint; the DETAIL after it holds the row."""
    state, sentence = error.diag.sqlstate, error.diag.message_primary
    if state is None:
        return str(error)
    return f"SQLSTATE {state}" if state.startswith(_DATA_EXCEPTION) else f"{sentence} (SQLSTATE {state})"
