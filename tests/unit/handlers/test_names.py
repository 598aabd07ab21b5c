"""The names of the handlers: their identity in tasks, inbox, metrics and dead letters. Changing one is a migration."""

from usercenter.config.model import Kafka
from usercenter.events import USER_EVENTS, UserEvent
from usercenter.events.envelope import type_of
from usercenter.handlers import groups
from usercenter.messaging.groups import handlers_by_name


class Moved(UserEvent, type="user.moved"):
    """Somebody's own."""


def test_every_handler_has_the_name_under_which_its_work_is_stored() -> None:
    named = {
        (group.name, event_class.__struct_config__.tag): [handler.name for handler in handlers]
        for group in groups(Kafka(group_id="usercenter"))
        for event_class, handlers in group.handlers.items()
    }

    cache, facts, sync = "refresh_cache", "publish_facts", ["deliver_webhook"]
    assert named == {
        ("usercenter", "user.registered"): ["create_settings", "ask_for_welcome_mail", facts],
        ("usercenter", "user.logged_in"): ["write_login_log", "remember_last_login", facts, cache],
        ("usercenter", "user.password_changed"): ["write_security_log", "ask_for_security_mail", facts, cache],
        ("usercenter", "user.status_changed"): ["ask_for_status_notice", facts, cache],
        ("usercenter", "user.updated"): ["tell_old_address", facts, cache],
        ("usercenter", "user.deleted"): [facts, "purge_personal_data", cache, "confirm_deletion"],
        **{("usercenter.webhooks", type_of(event)): sync for event in USER_EVENTS},
        ("usercenter.notifications", "notification.requested"): ["send_mail", "send_sms"],
        ("usercenter.analytics", "analytics.fact"): ["count_facts"],
    }


def test_webhooks_are_told_of_the_events_of_extensions_as_of_ours() -> None:
    table = groups(Kafka(group_id="usercenter"), [Moved])

    told = [group.name for group in table if Moved in group.handlers]
    assert told == ["usercenter.webhooks"]


def test_of_each_topics_groups_one_keeps_what_cannot_be_read() -> None:
    table = groups(Kafka())

    assert sorted(group.stream for group in table if group.keeps_unreadable) == sorted({each.stream for each in table})


def test_the_products_table_is_sound() -> None:
    assert len(handlers_by_name(groups(Kafka()))) == 16
