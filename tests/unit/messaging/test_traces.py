"""The spans of the post: which trace they belong to, what they are linked with, what they say."""

from receiving import login, message
from spans import Kept, facts, links, trace_of

from usercenter.messaging.batch import Item
from usercenter.messaging.causes import carried_from, carrying, traceparents
from usercenter.messaging.outbox import Row
from usercenter.messaging.traces import Sendings, of_batch, of_set
from usercenter.tracing import NOTHING, UNTRACED, Tracing

ONE = f"00-{'1' * 32}-{'1' * 16}-01"
TWO = f"00-{'2' * 32}-{'2' * 16}-01"


def of(traceparent: str | None, *, offset: int = 0):
    headers = {"ce_id": f"id-{offset}"} | ({"traceparent": traceparent} if traceparent else {})
    return message(login(), headers=headers, offset=offset)


def row(traceparent: str | None) -> Row:
    headers = {"ce_id": "id-7"} | ({"traceparent": traceparent} if traceparent else {})
    return Row(7, 0, "user_events", "key", "user.logged_in", b"{}", headers)


def test_a_batch_of_several_traces_begins_one_of_its_own_with_a_link_to_each_message():
    kept = Kept()
    of_batch(kept.tracing, "group", [of(ONE, offset=3), of(TWO, offset=4), of(None, offset=5)]).end()
    (batch,) = kept.spans()
    assert batch.parent is None
    assert links(batch) == [
        (ONE, {"messaging.destination.partition.id": "0", "messaging.kafka.offset": 3, "messaging.message.id": "id-3"}),
        (TWO, {"messaging.destination.partition.id": "0", "messaging.kafka.offset": 4, "messaging.message.id": "id-4"}),
    ]
    assert facts(batch)["messaging.batch.message_count"] == 3
    assert "messaging.message.id" not in facts(batch)


def test_a_batch_of_one_trace_belongs_to_it():
    kept = Kept()
    of_batch(kept.tracing, "group", [of(ONE), of(ONE)]).end()
    (batch,) = kept.spans()
    assert trace_of(batch) == "1" * 32
    assert len(batch.links) == 2


def test_a_batch_without_any_trace_begins_one():
    kept = Kept()
    of_batch(kept.tracing, "group", [of(None)]).end()
    (batch,) = kept.spans()
    assert batch.parent is None
    assert links(batch) == []


def test_a_message_that_kafka_refused_says_why():
    kept = Kept()
    sendings = Sendings(kept.tracing)
    sendings.begin(row(ONE), "user.events")
    sendings.end([(row(ONE), Refusal(), None, None)])
    sendings.end([(row(ONE), None, 0, 1)])  # it has ended before
    (sent,) = kept.spans()
    assert facts(sent)["error.type"] == "_MSG_TIMED_OUT"
    assert "messaging.kafka.offset" not in facts(sent)


class Refusal:
    def name(self) -> str:
        return "_MSG_TIMED_OUT"


def test_a_message_of_no_trace_has_no_span_on_its_way():
    kept = Kept()
    sendings = Sendings(kept.tracing)
    sendings.begin(row(None), "user.events")
    sendings.end([(row(None), None, 0, 1)])
    assert kept.spans() == []


def test_without_tracing_nothing_is_gathered():
    assert of_batch(UNTRACED, "group", [of(ONE)]) is NOTHING


class Forbidden(Tracing):
    """Off, and nobody may ask it for a span."""

    def span(self, name, kind="internal", **facts):
        raise AssertionError(f"{name} is no span of a process that traces nothing")


def test_without_tracing_a_set_asks_for_no_span_however_many_tasks_it_has():
    begun = []
    with of_set(Forbidden(), [None] * 500, {}):
        begun.append(True)
    assert begun == [True]


def test_what_follows_from_an_event_carries_its_trace_and_outside_there_is_none():
    with_trace, without = login(), login()
    items = [Item(with_trace, of(ONE)), Item(without, of(None))]
    with carrying(traceparents(items)):
        assert carried_from(with_trace.id) == ONE
        assert carried_from(without.id) is None
        assert carried_from(None) is None
    assert carried_from(with_trace.id) is None
