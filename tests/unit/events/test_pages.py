"""The pages for other teams: what they show can be read by today's code, and what they tell one to write works."""

import json
import re
from functools import partial
from pathlib import Path

import pytest

from usercenter.config.model import Kafka
from usercenter.events import EVENTS, NotificationRequested, Registry, type_of
from usercenter.extension.loading import joined
from usercenter.handlers import groups
from usercenter.messaging.groups import handlers_by_name
from usercenter.notify.letters import render

DOCS = Path(__file__).parents[3] / "docs"
PAGES = sorted((DOCS / "topics").glob("*.md"))
AN_ID = "01980000-0000-7000-8000-000000000002"


def shown(page):
    """Every message that a page shows, as JSON or as a line for the console producer."""
    text = page.read_text()
    blocks = re.findall(r"```json\n(.*?)\n```", text, re.DOTALL)
    lines = [line.replace("'$(python3 -c 'import uuid; print(uuid.uuid4())')'", AN_ID) for line in text.splitlines()]
    return blocks + [line.split("|", 1)[1].removesuffix("' \\") for line in lines if line.startswith("echo '")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_message_on_a_topics_page_is_an_event_of_that_topic(page):
    events = [Registry(EVENTS).decode(text.encode()) for text in shown(page)]

    assert events
    assert {event.stream.replace("_", ".") for event in events} == {page.stem}


def test_every_notification_that_is_shown_asks_for_a_mail_that_can_be_written():
    from usercenter.config.model import Mail

    for text in shown(DOCS / "topics" / "user.notifications.md"):
        event = Registry(EVENTS).decode(text.encode())
        assert isinstance(event, NotificationRequested)
        assert render(event.template, "en", event.parameters, to=event.to or "", mail=Mail())


def test_the_file_of_the_guide_is_a_whole_extension():
    guide = (DOCS / "custom-events.md").read_text()
    source = next(block for block in re.findall(r"```python\n(.*?)```", guide, re.DOTALL) if "Extension(" in block)
    names = {}
    exec(source, names)  # noqa: S102  # the test's point

    table = joined({"acme.user_profile_updated": names["extension"]}, events=EVENTS, groups=partial(groups, Kafka()))
    assert "refresh_search_index" in handlers_by_name(table)

    (line,) = shown(DOCS / "custom-events.md")
    event = Registry(names["extension"].events).decode(line.encode())
    assert json.loads(line)["type"] == type_of(type(event))
