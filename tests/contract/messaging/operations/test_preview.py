"""The preview of a redrive: it runs today's code, and changes nothing."""

from receiving import login, message

from usercenter.events import encode, new_id
from usercenter.messaging.groups import outside, record
from usercenter.messaging.operations import letters
from usercenter.messaging.operations.preview import preview


async def test_it_says_what_would_pass_and_what_would_be_called_and_changes_nothing(office) -> None:
    group = office.of_logins(record(office.done.record("write")), outside(office.done.outside("send")))
    events = [login() for _ in range(30)]
    await office.die(group, *events)
    calls = list(office.done.calls)
    before = await office.everything()

    forecast = await preview(office.database, await office.select("redrive"), returns=office.returns(group))

    assert await office.everything() == before
    assert office.done.calls == calls
    assert (forecast.looked_at, forecast.passes, forecast.called) == (60, 30, 30)
    assert (forecast.applied, forecast.sent, forecast.still_fails, forecast.refused) == (0, 0, [], [])


async def test_it_says_what_still_fails_and_why_without_personal_data(office) -> None:
    group = office.of_logins(record(office.done.record("write")))
    user = new_id()
    bad, good = [login(user) for _ in range(25)], [login(user) for _ in range(5)]
    await office.die(group, *bad, *good)
    office.breaks(*bad)
    before = await office.everything()

    forecast = await preview(office.database, await office.select("redrive"), returns=office.returns(group))

    assert await office.everything() == before
    assert forecast.passes == 5
    [cause] = forecast.still_fails
    assert (cause.handler, cause.event_type, cause.count) == ("write", "user.logged_in", 25)
    assert cause.error == "PermanentFailure: no such address: ***"


async def test_letters_that_fail_of_the_same_are_one_cause(office) -> None:
    group = office.of_logins(record(office.done.record("write")))
    await office.die(group, *[login() for _ in range(25)])
    office.done.fails = lambda handler, event: LookupError(f"no settings for {event.user_id}")

    forecast = await preview(office.database, await office.select("redrive"), returns=office.returns(group))

    assert [(each.handler, each.count) for each in forecast.still_fails] == [("write", 25)]


async def test_a_later_letter_meets_the_effect_of_an_earlier_one(office) -> None:
    async def count(events, tx, context) -> None:
        for event in events:
            row = await tx.fetch_one("select count(*) from effects where user_id = %s", (event.user_id,))
            if event.data["number"] != row[0]:
                raise ValueError("out of order")
            await tx.execute(
                "insert into effects (handler, event_id, user_id) values ('count', %s, %s)", (event.id, event.user_id)
            )

    async def fail(events, tx, context) -> None:
        raise ValueError("broken")

    user = new_id()
    fail.__name__ = "count"
    await office.die(office.of_logins(record(fail)), *[login(user, data={"number": n}) for n in range(10)])

    forecast = await preview(
        office.database, await office.select("redrive"), returns=office.returns(office.of_logins(record(count)))
    )

    assert (forecast.passes, forecast.still_fails) == (10, [])


async def test_a_handler_that_changes_nothing_has_had_its_effect(office) -> None:
    async def write(events, tx, context) -> None:
        await tx.execute(
            "insert into last_logins (user_id, logged_in_at) select u, now() from unnest(%s::uuid[]) u "
            "on conflict do nothing",
            ([event.user_id for event in events],),
        )

    group = office.of_logins(record(write))
    done, open_ = login(), login()
    await office.die(office.of_logins(record(office.done.record("write"))), done, open_)
    async with office.world.database.transaction() as tx:
        await write([done], tx, office.context)

    forecast = await preview(office.database, await office.select("redrive"), returns=office.returns(group))

    assert (forecast.applied, forecast.passes) == (1, 1)


async def test_work_that_another_letter_of_the_same_has_done_is_done(office) -> None:
    group = office.of_logins(outside(office.done.outside("send")))
    await office.die(group, login())
    async with office.world.database.transaction() as tx:  # as after a replay: the same work died twice
        await tx.execute(
            "insert into dead_letters (group_name, handler, topic, key, value, headers, event_id, event_type, user_id, "
            "attempts, error, died_at) select group_name, handler, topic, key, value, headers, event_id, event_type, "
            "user_id, attempts, error, died_at from dead_letters"
        )
    one = await office.select()
    await letters.retry(
        office.database, type(one)(action="retry", filter=one.filter, upper=1, count=1),
        returns=office.returns(group), by="ops",
    )  # fmt: skip
    await office.all_done(group)

    forecast = await preview(office.database, await office.select("redrive"), returns=office.returns(group))

    assert (forecast.looked_at, forecast.applied, forecast.called) == (1, 1, 0)


async def test_bytes_that_can_be_read_by_now_are_tried_with_every_handler(office) -> None:
    group = office.of_logins(record(office.done.record("write")), outside(office.done.outside("send")))
    await office.router(group).handle([message(value=b"broken"), message(value=b"still broken")])
    async with office.world.database.transaction() as tx:
        await tx.execute("update dead_letters set value = %s where id = 1", (encode(login()),))
    before = await office.everything()

    forecast = await preview(office.database, await office.select("redrive"), returns=office.returns(group))

    assert await office.everything() == before
    assert forecast.passes == 1
    assert [each.count for each in forecast.refused] == [1]


async def test_a_constraint_that_is_checked_at_the_commit_fails_in_the_preview_as_well(office) -> None:
    async with office.world.database.transaction() as tx:
        await tx.execute("create table once (user_id uuid unique deferrable initially deferred)")

    async def write(events, tx, context) -> None:
        for event in events:
            await tx.execute("insert into once (user_id) values (%s)", (event.user_id,))

    user = new_id()
    await office.die(office.of_logins(record(office.done.record("write"))), login(user), login(user))
    group = office.of_logins(record(write))

    forecast = await preview(office.database, await office.select("redrive"), returns=office.returns(group))

    assert forecast.passes == 1
    [cause] = forecast.still_fails
    assert cause.error.startswith("UniqueViolation: duplicate key")
    assert str(user) not in cause.error
