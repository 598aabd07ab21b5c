"""The public face, and DESIGN's example as it stands there."""

from usercenter import extension as public

DESIGN = '''
class UserProfileUpdated(UserEvent, type="user.profile_updated"):
    """The user changed the public profile."""
    username: str
    changes: dict[str, Any]

async def refresh_search_index(event: UserProfileUpdated, context: Context) -> None: ...

extension = Extension(events=[UserProfileUpdated], handlers={UserProfileUpdated: [outside(refresh_search_index)]})
'''


def test_what_a_company_imports_is_named_and_stays():
    assert sorted(public.__all__) == [
        "Clock",
        "Context",
        "Extension",
        "ExtensionInvalid",
        "HeldClock",
        "NotYet",
        "NotificationRequested",
        "PermanentFailure",
        "Personal",
        "Registry",
        "Schedule",
        "SystemClock",
        "Transaction",
        "UserDeleted",
        "UserEvent",
        "UserLoggedIn",
        "UserPasswordChanged",
        "UserRegistered",
        "UserStatusChanged",
        "UserUpdated",
        "derived_id",
        "encode",
        "headers_of",
        "new_id",
        "outbox",
        "outside",
        "record",
    ]
    assert all(hasattr(public, name) for name in public.__all__)


def test_the_example_of_the_design_runs_as_written():
    names: dict[str, object] = {}
    exec("from typing import Any\nfrom usercenter.extension import *\n" + DESIGN, names)  # noqa: S102  # the test's point

    extension = names["extension"]
    assert isinstance(extension, public.Extension)
    assert [handler.name for handlers in extension.handlers.values() for handler in handlers] == [
        "refresh_search_index"
    ]
