"""Whatever an event holds, it comes back from the wire as it was."""

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from usercenter.events import (
    USER_EVENTS,
    NotificationRequested,
    Registry,
    UserLoggedIn,
    UserPasswordChanged,
    UserRegistered,
    UserStatusChanged,
    UserUpdated,
    encode,
    headers_of,
)

REGISTRY = Registry([*USER_EVENTS, NotificationRequested])

text = st.text()
maybe = st.none() | text
zones = st.none() | st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)
json_objects = st.dictionaries(text, json_values, max_size=4)
envelope = {
    "id": st.uuids(),
    "source": text,
    "timestamp": st.datetimes(min_value=datetime(1, 1, 3), max_value=datetime(9999, 12, 29), timezones=zones),  # noqa: DTZ001
    "version": text,
    "request_id": text,
    "user_id": st.uuids(),
    "data": json_objects,
    "actor": maybe,
    "sequence": st.none() | st.integers(0, 2**63 - 1),
    "causation_id": st.none() | st.uuids(),
    "username": text,
    "email": text,
}
own_fields = {
    UserRegistered: {"first_name": maybe, "last_name": maybe, "locale": maybe},
    UserLoggedIn: {"ip_address": maybe, "user_agent": maybe},
    UserPasswordChanged: {"ip_address": maybe},
    UserStatusChanged: {"old_status": text, "new_status": text, "reason": maybe},
    UserUpdated: {"changes": json_objects},
}
user_events = st.one_of([st.builds(event, **envelope, **own_fields.get(event, {})) for event in USER_EVENTS])
notifications = st.builds(
    NotificationRequested,
    **{name: value for name, value in envelope.items() if name not in {"username", "email"}},
    template=text,
    to=text,
    locale=maybe,
    parameters=json_objects,
)


@given(user_events | notifications)
def test_an_event_comes_back_from_the_wire_as_it_was(event):
    assert REGISTRY.decode(encode(event)) == event


@given(user_events | notifications)
def test_an_event_is_always_the_same_bytes(event):
    assert encode(REGISTRY.decode(encode(event))) == encode(event)


@given(user_events | notifications)
def test_every_event_has_headers_that_are_text(event):
    headers = headers_of(event)

    assert all(isinstance(value, str) for value in headers.values())
    assert datetime.fromisoformat(headers["ce_time"]) == event.occurred_at.astimezone(UTC)
