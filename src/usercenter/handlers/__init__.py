"""The reactions, on one screen: which group reads what, and who reacts to which event."""

from usercenter.config.model import Kafka
from usercenter.events import NotificationRequested, UserLoggedIn, UserRegistered
from usercenter.handlers.logins import remember_last_login, write_login_log
from usercenter.handlers.notifications import send_mail
from usercenter.handlers.settings import create_settings
from usercenter.handlers.welcome import ask_for_welcome_mail
from usercenter.messaging.groups import Group, outside, record


def groups(kafka: Kafka) -> tuple[Group, ...]:
    """Every consumer group of the service with its handlers."""
    return (
        Group(
            name=kafka.group_id,
            stream="user_events",
            handlers={
                UserRegistered: (record(create_settings), record(ask_for_welcome_mail)),
                UserLoggedIn: (record(write_login_log), record(remember_last_login)),
            },
        ),
        Group(
            name=f"{kafka.group_id}.notifications",
            stream="user_notifications",
            handlers={NotificationRequested: (outside(send_mail),)},
        ),
    )
