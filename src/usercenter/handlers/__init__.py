"""The reactions, on one screen: which group reads what, and who reacts to which event.

A handler that is not `repeatable` is `once`: a replay leaves it out unless it is named again (mails, webhooks, sums).
"""

from collections.abc import Sequence

from usercenter.config.model import Kafka
from usercenter.events import (
    USER_EVENTS,
    AnalyticsFact,
    Event,
    NotificationRequested,
    UserDeleted,
    UserLoggedIn,
    UserPasswordChanged,
    UserRegistered,
    UserStatusChanged,
    UserUpdated,
)
from usercenter.handlers.analytics import count_facts, publish_facts
from usercenter.handlers.cache import has_cache, refresh_cache, refresh_caches
from usercenter.handlers.erasure import LACKS_RECEIPT, confirm_deletion, purge_personal_data
from usercenter.handlers.logins import LACKS_LAST_LOGIN, LACKS_LOG_LINE, remember_last_login, write_login_log
from usercenter.handlers.notices import ask_for_security_mail, ask_for_status_notice, tell_old_address
from usercenter.handlers.notifications import mail_lanes, send_mail, send_sms, sms_lanes
from usercenter.handlers.security import LACKS_LOG_LINE as LACKS_SECURITY_LINE
from usercenter.handlers.security import write_security_log
from usercenter.handlers.settings import LACKS_SETTINGS, create_settings
from usercenter.handlers.webhooks import calls_to_a_receiver, deliver_webhook, webhook_lanes
from usercenter.handlers.welcome import ask_for_welcome_mail
from usercenter.messaging.groups import Group, outside, record
from usercenter.webhooks.schedule import STANDARD


def groups(kafka: Kafka, custom: Sequence[type[Event]] = ()) -> tuple[Group, ...]:
    """Every consumer group of the service with its handlers; `custom` are the events that extensions add.

    Webhooks are told of those as of ours.
    """
    facts = record(publish_facts)
    cache = outside(refresh_cache, together=refresh_caches, only_if=has_cache, replay="repeatable")
    sync = outside(deliver_webhook, lanes=webhook_lanes, retry=STANDARD, concurrent=calls_to_a_receiver)
    return (
        Group(
            name=kafka.group_id,
            stream="user_events",
            handlers={
                UserRegistered: (
                    record(create_settings, replay="repeatable", lacks=LACKS_SETTINGS),
                    record(ask_for_welcome_mail),
                    facts,
                ),
                UserLoggedIn: (
                    record(write_login_log, replay="repeatable", lacks=LACKS_LOG_LINE),
                    record(remember_last_login, replay="repeatable", lacks=LACKS_LAST_LOGIN),
                    facts,
                    cache,
                ),
                UserPasswordChanged: (
                    record(write_security_log, replay="repeatable", lacks=LACKS_SECURITY_LINE),
                    record(ask_for_security_mail),
                    facts,
                    cache,
                ),
                UserStatusChanged: (record(ask_for_status_notice), facts, cache),
                UserUpdated: (record(tell_old_address), facts, cache),
                UserDeleted: (
                    facts,
                    record(purge_personal_data, replay="repeatable", lacks=LACKS_RECEIPT),
                    cache,
                    outside(confirm_deletion),
                ),
            },
        ),
        Group(
            name=f"{kafka.group_id}.webhooks",
            stream="user_events",
            handlers=dict.fromkeys((*USER_EVENTS, *custom), (sync,)),
            keeps_unreadable=False,  # the group above does
        ),
        Group(
            name=f"{kafka.group_id}.notifications",
            stream="user_notifications",
            handlers={
                NotificationRequested: (outside(send_mail, lanes=mail_lanes), outside(send_sms, lanes=sms_lanes)),
            },
        ),
        Group(
            name=f"{kafka.group_id}.analytics",
            stream="user_analytics",
            handlers={AnalyticsFact: (record(count_facts),)},
        ),
    )
