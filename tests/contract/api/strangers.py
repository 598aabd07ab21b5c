"""Hooks of the schemathesis run in `test_description.py`; loaded into its process by `SCHEMATHESIS_HOOKS`.

Who sends the requests: some of them end their own session, suspend or delete their own account, so before each request
the token is tried, and a new account is opened when it has lost its power.
"""

import os
from itertools import count
from typing import Any

import httpx
import psycopg
import schemathesis
from hypothesis import strategies as st

ROLE = os.environ["STRANGERS_ROLE"]
DATABASE_URL = os.environ["STRANGERS_DATABASE_URL"]
client = httpx.Client(base_url=os.environ["STRANGERS_URL"], timeout=30)
numbers = count(1)

UNSAYABLE = {
    ("cursor", "cursor"): "only the service makes cursors, each for one question",
    ("email", "address"): "reserved domains, and what RFC 5321 and 6531 say beyond a pattern",
    ("first_name", "character"): "what is invisible depends on the version of Unicode",
    ("last_name", "character"): "as first_name",
    ("first_name", "length"): "blanks alone are no name, and what is blank is Unicode's",
    ("last_name", "length"): "as first_name",
    ("from", "moment"): "30 February",
    ("to", "moment"): "as from",
    ("created_from", "moment"): "as from",
    ("created_to", "moment"): "as from",
    ("locale", "locale"): "which languages there are is the CLDR's",
    ("notifications.quiet_hours", "length"): "begin and end are the same",
    ("page", "depth"): "page and size together, or page and cursor",
    ("step", "choice"): "active users are not counted by the minute",
    ("to", "length"): "too many steps from `from`",
    ("to", "order"): "before `from`",
    ("url", "url"): "hosts that are not public, and those that the operator allows by name",
    ("head", "format"): "the head line of a CSV file",
}
"""(field, code) of each rule that JSON Schema cannot say, and why; a refusal of a valid request names one of them."""


def new_account(role: str) -> str:
    """Open an account with this role; returns its access token."""
    name = f"{role}-{os.getpid()}-{next(numbers)}"
    body = {"username": name, "email": f"{name}@strangers.example.com", "password": "password123"}
    signed_in = client.post("/api/v1/users/register", json=body).raise_for_status().json()
    with psycopg.connect(DATABASE_URL, autocommit=True) as connection:
        connection.execute("update users set role = %s where id = %s", (role, signed_in["user"]["id"]))
    return str(signed_in["token"])


schemathesis.openapi.format("entity-tag", st.from_regex(r'\A(\*|(W/)?"[!#-~]{0,20}")\Z'))


@schemathesis.auth(refresh_interval=None)
class Strangers:
    """A token of this run's role that works now."""

    def __init__(self) -> None:
        new_account("admin")  # one that stays, so that the others may lose the role
        self._token = new_account(ROLE)

    def get(self, case: schemathesis.Case, context: schemathesis.AuthContext) -> str:
        answer = client.get("/api/v1/users/me", headers={"Authorization": f"Bearer {self._token}"})
        if answer.status_code != 200 or answer.json()["user"]["role"] != ROLE:
            self._token = new_account(ROLE)
        return self._token

    def set(self, case: schemathesis.Case, data: str, context: schemathesis.AuthContext) -> None:
        case.headers["Authorization"] = f"Bearer {data}"


@schemathesis.serializer("text/csv", "application/x-ndjson")
def as_it_is(context: schemathesis.SerializationContext, value: Any) -> bytes:
    """A file is sent as it was made up."""
    return value if isinstance(value, bytes) else str(value).encode(errors="surrogatepass")


@schemathesis.deserializer("text/csv", "application/x-ndjson")
def as_text(context: schemathesis.DeserializationContext, response: schemathesis.Response) -> str:
    """A file is read as the text that the description calls it."""
    return response.content.decode()


@schemathesis.check
def refusals_are_of_rules_that_no_schema_can_say(
    context: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case
) -> None:
    """A request that follows the description is refused for such a rule alone: makes up for the wider statuses."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    if response.status_code == 400:
        reasons = {(each["field"], each["code"]) for each in response.json().get("errors", ())}
        assert reasons, f"refused, and no field is named: {response.text}"
        assert reasons <= UNSAYABLE.keys(), f"the description does not say: {reasons - UNSAYABLE.keys()}"
    if response.status_code == 412:
        assert "If-Match" in case.headers
    if response.status_code == 422:
        assert "Idempotency-Key" in case.headers


UNGUESSABLE = {
    "DELETE /api/v1/users/me": "the password of the account, and no version of it that it does not have",
    "POST /api/v1/users/password/reset": "the token of a mail",
    "POST /api/v1/users/email/confirm": "the token of a mail",
    "POST /api/v1/admin/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver": "an event that was delivered before",
}
"""Routes that do what they are for only with what no stranger can make up; they are asked all the same."""


@schemathesis.check
class EveryRouteIsReached:
    """Each route has been asked for, and has done what it is for at least once, for who may do everything."""

    def __init__(self) -> None:
        self._tested: set[str] = set()
        self._reached: set[str] = set()

    def after_response(
        self, context: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case
    ) -> None:
        self._tested.add(case.operation.label)
        is_its_own = response.request.method == case.operation.method.upper()  # and no probe by another method
        if is_its_own and 200 <= response.status_code < 300:
            self._reached.add(case.operation.label)

    def after_run(self, context: Any) -> None:
        if ROLE == "admin":
            never = self._tested - self._reached - UNGUESSABLE.keys()
            assert not never, f"never done: {sorted(never)}"
