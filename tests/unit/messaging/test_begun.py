"""Which messages of a batch are suspected of having ended a process."""

from hypothesis import given
from hypothesis import strategies as st
from receiving import TOPIC, message

from usercenter.messaging.begun import Mark, parted

places = st.tuples(st.integers(0, 2), st.integers(0, 9))
suspects = st.dictionaries(st.integers(0, 2), st.tuples(st.integers(0, 9), st.integers(0, 3)))


@given(st.lists(places, unique=True), suspects)
def test_every_message_is_in_one_part_and_the_parts_keep_each_partitions_order(
    found: list[tuple[int, int]], ranges: dict[int, tuple[int, int]]
) -> None:
    batch = [message(value=b"", partition=partition, offset=offset) for partition, offset in sorted(found)]
    marks = [Mark(TOPIC, partition, first, first + length, 1) for partition, (first, length) in ranges.items()]

    calm, suspected, rest = parted(batch, marks)

    parts = [*calm, *(each for each, _ in suspected), *rest]
    for partition in range(3):
        assert [m for m in parts if m.partition == partition] == [m for m in batch if m.partition == partition]
    assert all(mark.first <= each.offset <= mark.last for each, mark in suspected)
    assert {each.partition for each in rest} <= ranges.keys()
