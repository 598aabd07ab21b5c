"""What follows from a login: a line in the log with a verdict, a warning where it is suspicious, the last login."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

import structlog

from usercenter.config.model import Logins
from usercenter.db import Transaction
from usercenter.events import NotificationRequested, UserLoggedIn, derived_id
from usercenter.messaging import outbox
from usercenter.messaging.groups import Context
from usercenter.users import logins
from usercenter.users.anomalies import Judgement, Known, Login, has_been_told, judge
from usercenter.users.devices import device_of, kind_of
from usercenter.users.logins import Entry
from usercenter.users.places import Places

log = structlog.get_logger()

TEMPLATE: Final = "suspicious_login"
LACKS_LOG_LINE: Final = "not exists (select 1 from login_log l where l.event_id = e.id)"
"""Where the effect of a handled login is not there; for `usercenter verify`."""
LACKS_LAST_LOGIN: Final = (
    "not exists (select 1 from last_logins l where l.user_id = e.user_id "
    "and l.logged_in_at >= (e.payload ->> 'timestamp')::timestamptz)"
)
"""As above: the last login is this one, or a later one."""

_Histories = Mapping[UUID, list[Known]]


async def write_login_log(events: Sequence[UserLoggedIn], tx: Transaction, context: Context) -> None:
    """Judge each login by the user's earlier ones and append it to the log.

    A suspicious one marks its session, and asks for a security mail unless the same device in the same network was
    warned of within the last day. Three statements, however many events; two more where something is suspicious.
    """
    places, settings = context.service(Places), context.service(Logins)
    ordered = sorted(events, key=lambda event: (event.occurred_at, event.sequence or 0))
    histories = await _histories(tx, ordered, places)
    failures = await logins.failures_before(
        tx, [(event.id, event.user_id, event.ip_address, event.occurred_at) for event in ordered]
    )
    entries: dict[UUID, Entry] = {}
    to_tell: set[UUID] = set()
    for event in ordered:
        login = _login(event, places, failures[event.id])
        history = histories[event.user_id]
        judgement = judge(login, history, suspicious_score=settings.suspicious_score)
        if judgement.verdict == "suspicious" and not has_been_told(login, history):
            to_tell.add(event.id)
        entries[event.id] = _entry(event, login, judgement)
        history.append(_known(login, judgement))
    new = await logins.append(tx, [(event.user_id, event.user_agent, entries[event.id]) for event in ordered])
    suspicious = [event for event in ordered if event.id in new and entries[event.id].verdict == "suspicious"]
    if suspicious:
        await _mark_and_warn(tx, context, suspicious, entries, to_tell)


async def remember_last_login(events: Sequence[UserLoggedIn], tx: Transaction, context: Context) -> None:
    """Note when each user logged in last; it never moves backwards, whatever the order of arrival."""
    del context
    latest = {event.user_id: event for event in sorted(events, key=lambda event: event.occurred_at)}
    latest = dict(sorted(latest.items()))  # rows are locked in one order by all: no deadlock
    await tx.send(
        "insert into last_logins (user_id, logged_in_at, ip_address) "
        "select * from unnest(%b::uuid[], %b::timestamptz[], %b::text[]) "
        "on conflict (user_id) do update set logged_in_at = excluded.logged_in_at, ip_address = excluded.ip_address "
        "where last_logins.logged_in_at < excluded.logged_in_at",
        (
            list(latest),
            [event.occurred_at for event in latest.values()],
            [event.ip_address for event in latest.values()],
        ),
    )


async def _histories(tx: Transaction, events: Sequence[UserLoggedIn], places: Places) -> _Histories:
    histories: dict[UUID, list[Known]] = defaultdict(list)
    for row in await logins.earlier_logins(tx, [event.user_id for event in events]):
        known = Known(
            since=row.since,
            last=row.last,
            device=kind_of(row.device) if row.device else None,
            place=places.find(row.ip_address),
            verdict=row.verdict,
        )
        histories[row.user_id].append(known)
    return histories


def _login(event: UserLoggedIn, places: Places, failures: tuple[int, int]) -> Login:
    device = device_of(event.user_agent)
    return Login(
        at=event.occurred_at,
        device=device.kind if device else None,
        place=places.find(event.ip_address),
        failures=failures[0],
        accounts=failures[1],
    )


def _known(login: Login, judgement: Judgement) -> Known:
    return Known(since=login.at, last=login.at, device=login.device, place=login.place, verdict=judgement.verdict)


def _entry(event: UserLoggedIn, login: Login, judgement: Judgement) -> Entry:
    device = device_of(event.user_agent)
    return Entry(
        event_id=event.id,
        logged_in_at=event.occurred_at,
        ip_address=event.ip_address,
        device=device.words if device else None,
        country=login.place.country if login.place else None,
        verdict=judgement.verdict,
        score=judgement.score,
        reasons=list(judgement.findings),
    )


async def _mark_and_warn(
    tx: Transaction,
    context: Context,
    events: Sequence[UserLoggedIn],
    entries: Mapping[UUID, Entry],
    to_tell: set[UUID],
) -> None:
    sessions = [(event.user_id, event.session_id) for event in events if event.session_id]
    if sessions:
        await logins.mark_sessions(tx, sessions)
    for event in events:
        entry = entries[event.id]
        rules = [finding.rule for finding in entry.reasons]
        log.warning("logins.suspicious", user_id=str(event.user_id), score=entry.score, rules=rules)
    warnings = [_warning(event, entries[event.id], context) for event in events if event.id in to_tell]
    if warnings:
        await outbox.add(tx, *warnings)


def _warning(event: UserLoggedIn, entry: Entry, context: Context) -> NotificationRequested:
    """The request for the mail. Parameters of the template `suspicious_login`, all of them always there:

    username; when (ISO 8601, UTC); device, ip_address and country (words, the address, two letters; "" when unknown);
    reasons (English sentences, one for each finding); rules (their names in the same order, for other languages).
    """
    return NotificationRequested(
        id=derived_id(event.id, write_login_log.__name__),
        timestamp=context.clock.now(),
        request_id=event.request_id,
        user_id=event.user_id,
        actor="system",
        causation_id=event.id,
        template=TEMPLATE,
        to=event.email,
        category="security",
        parameters={
            "username": event.username,
            "when": event.occurred_at.isoformat(timespec="seconds"),
            "device": entry.device or "",
            "ip_address": entry.ip_address or "",
            "country": entry.country or "",
            "reasons": [finding.words for finding in entry.reasons],
            "rules": [finding.rule for finding in entry.reasons],
        },
    )
