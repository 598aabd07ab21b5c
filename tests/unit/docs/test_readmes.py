"""The READMEs name what exists, and both of them the same."""

import json
import re
from pathlib import Path

import pytest

from usercenter.cli.tour import USER
from usercenter.config.leaves import leaves, sections
from usercenter.config.model import Config
from usercenter.events import USER_EVENTS, NotificationRequested
from usercenter.events.envelope import type_of
from usercenter.handlers import groups
from usercenter.messaging.client import topics_by_stream

ROOT = Path(__file__).parents[3]
READMES = ["README.md", "README.zh-CN.md"]
CURL = (
    "curl -X POST http://localhost:8080/api/v1/users/register "
    '-H "Content-Type: application/json" '
    """-d '{"username":"testuser","email":"test@example.com","password":"password123"}'"""
)
"""What the clients of this platform have known for long, letter by letter (issue 3)."""


@pytest.fixture(scope="module")
def both(page):
    return [page(name) for name in READMES]


def test_both_have_the_same_sections(both):
    english, chinese = ([heading.split(" ")[0] for heading in each.headings] for each in both)
    assert english == chinese
    assert len(english) >= 8


def test_both_have_the_same_code_blocks(both):
    english, chinese = (each.blocks for each in both)
    assert english == chinese
    assert len(english) >= 7


def test_both_have_tables_of_the_same_shape(both):
    english, chinese = ([len(row) for row in each.rows] for each in both)
    assert english == chinese


def test_both_name_the_same_things_in_code(both):
    english, chinese = (sorted(each.spans) for each in both)
    assert english == chinese


def test_both_lead_to_each_other_and_otherwise_to_the_same_pages(both):
    english, chinese = (set(each.links) for each in both)
    assert english - chinese == {"README.zh-CN.md"}
    assert chinese - english == {"README.md"}


def test_the_curl_is_the_one_that_clients_know(both):
    for each in both:
        assert [line for line in each.code_lines if line.startswith("curl")] == [CURL]


def test_the_demo_registers_the_user_of_the_curl():
    body = re.search(r"-d '(.+)'", CURL)
    assert body
    assert json.loads(body[1]) == USER


@pytest.mark.parametrize("name", [*READMES, "CONTRIBUTING.md", "bench/README.md"])
def test_every_word_for_make_is_in_the_makefile(page, name):
    words = {word for line in page(name).code_lines for word in re.findall(r"^make ([a-z]+)", line)}
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert words
    assert words - targets == set()


def known_words() -> set[str]:
    config = Config()
    types = {type_of(event) for event in (*USER_EVENTS, NotificationRequested)}
    names = {group.name for group in groups(config.kafka)} | set(topics_by_stream(config.kafka).values())
    return {*leaves(), *sections(), *types, *names}


def test_every_setting_event_topic_and_group_exists(both):
    for each in both:
        words = {span for span in each.spans if re.fullmatch(r"[a-z_]+(\.[a-z_]+)+", span)}
        assert "kafka.brokers" in words
        assert words - known_words() == set()


def test_every_variable_sets_something(both):
    known = {leaf.variable for leaf in leaves().values()}
    for each in both:
        variables = {word for line in each.code_lines for word in re.findall(r"USERCENTER_[A-Z_]+", line)}
        assert variables
        assert {variable.removesuffix("_FILE") for variable in variables} - known == set()


def test_every_event_of_a_user_is_named(both):
    for each in both:
        assert {type_of(event) for event in USER_EVENTS} <= set(each.spans)
