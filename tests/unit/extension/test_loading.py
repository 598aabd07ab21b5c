"""Extensions are found, checked and joined; what is wrong is said with the module's name and what to do."""

import sys

import pytest

from usercenter.config.model import Kafka
from usercenter.events import EVENTS, UserRegistered
from usercenter.extension import ExtensionInvalid
from usercenter.extension.loading import extended
from usercenter.messaging.groups import Group, record


async def ours(events, tx, context):
    """A handler of the service."""


GROUPS = (
    Group(name="g.notifications", stream="user_notifications", handlers={}),
    Group(name=Kafka().group_id, stream="user_events", handlers={UserRegistered: (record(ours),)}),
)

GOOD = '''
from usercenter.extension import Context, Extension, UserEvent, UserRegistered, outside, record
class Moved(UserEvent, type="user.moved"):
    """Somebody moved."""
    city: str
async def write_down(events, tx, context): ...
async def tell(event, context): ...
'''
WHOLE = GOOD + "extension = Extension(events=[Moved], handlers={Moved: [record(write_down), outside(tell)]})\n"


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Writes modules of an extension; they are forgotten after the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)

    def write(source, name="acme_profile"):
        (tmp_path / f"{name}.py").write_text(source)
        return name

    yield write
    for name in set(sys.modules) - before:
        del sys.modules[name]


def join(*modules):
    return extended(modules, events=EVENTS, groups=lambda custom: GROUPS)


def test_without_extensions_nothing_changes():
    events, groups = join()

    assert events == EVENTS
    assert groups == GROUPS


def test_an_extension_in_the_current_folder_is_joined_to_the_events_and_to_the_group(made):
    events, groups = join(made(WHOLE))

    moved = events[-1]
    assert moved.__name__ == "Moved"
    assert [handler.name for handler in groups[1].handlers[moved]] == ["write_down", "tell"]
    assert [handler.name for handler in groups[1].handlers[UserRegistered]] == ["ours"]
    assert groups[0] is GROUPS[0]


def test_an_extension_may_react_to_our_events_behind_our_own_handlers(made):
    _, groups = join(made(GOOD + "extension = Extension(handlers={UserRegistered: [outside(tell)]})"))

    assert [handler.name for handler in groups[1].handlers[UserRegistered]] == ["ours", "tell"]


def test_an_extension_may_react_to_the_event_of_another(made):
    other = (
        "from acme_profile import Moved\nfrom usercenter.extension import Extension, outside\n"
        "async def tell_too(event, context): ...\nextension = Extension(handlers={Moved: [outside(tell_too)]})"
    )
    events, groups = join(made(WHOLE), made(other, "acme_other"))

    assert [handler.name for handler in groups[1].handlers[events[-1]]] == ["write_down", "tell", "tell_too"]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("extension = 7", "`extension` is a int"),
        ("", "has no attribute `extension`"),
        ("import nothing_like_this", "imports 'nothing_like_this', which is not installed"),
        ("def broken(:", "cannot be imported: SyntaxError"),
        ("1 / 0", "cannot be imported: ZeroDivisionError"),
        (GOOD + "extension = Extension(events=[UserRegistered])", "'user.registered' of UserRegistered is taken by"),
        (GOOD + "extension = Extension(events=[Moved, Moved])", "'user.moved' of Moved is taken by acme_profile"),
        (GOOD + "extension = Extension(events=[dict])", "dict in `events` is no subclass of UserEvent"),
        (GOOD + "class A(UserEvent): ...\nextension = Extension(events=[A])", "A has the event type 'A'"),
        (GOOD + "class A(UserEvent, type='moved'): ...\nextension = Extension(events=[A])", "event type 'moved'"),
        (GOOD + "class A(UserEvent, type='user.Moved'): ...\nextension = Extension(events=[A])", "'user.Moved'"),
        (GOOD + "class A(UserEvent, type='user.moved\\n'): ...\nextension = Extension(events=[A])", "event type"),
        (GOOD + "class A(UserEvent, type='a.b'):\n  actor: int\nextension = Extension(events=[A])", "declares actor"),
        (
            GOOD + "class A(UserEvent, type='a.b'):\n  a: Context\nextension = Extension(events=[A])",
            "JSON cannot carry",
        ),
        (
            GOOD + "extension = Extension(handlers={Moved: [outside(tell)]})",
            "handlers for Moved, which nobody declares",
        ),
        (GOOD + "extension = Extension(handlers={UserEvent: [outside(tell)]})", "UserEvent in `handlers` is no event"),
        (GOOD + "extension = Extension(events=[Moved], handlers={Moved: [tell]})", "handler tell is bare"),
        (
            GOOD + "async def ours(event, context): ...\n"
            "extension = Extension(events=[Moved], handlers={Moved: [outside(ours)]})",
            "handler name 'ours' is taken by usercenter",
        ),
    ],
)
def test_what_is_wrong_is_said_with_the_module_and_the_way_out(made, source, said):
    name = made(source)

    with pytest.raises(ExtensionInvalid) as caught:
        join(name)

    assert str(caught.value).startswith("extension acme_profile: ")
    assert said in str(caught.value)


def test_two_extensions_cannot_claim_one_event_type_or_one_handler_name(made):
    first = made(WHOLE)
    same_type = GOOD + "extension = Extension(events=[Moved])"
    same_name = GOOD + "extension = Extension(handlers={UserRegistered: [outside(tell)]})"

    with pytest.raises(ExtensionInvalid, match=r"acme_second: the event type 'user\.moved' .* taken by acme_profile"):
        join(first, made(same_type, "acme_second"))
    with pytest.raises(ExtensionInvalid, match=r"acme_third: the handler name 'tell' is taken by acme_profile"):
        join(first, made(same_name, "acme_third"))


def test_a_module_that_is_not_there_is_named_with_the_places_that_were_looked_at(made):
    with pytest.raises(ExtensionInvalid, match=r"acme\.profil: no module of that name: neither installed"):
        join("acme.profil")


def test_a_module_named_twice_is_an_error(made):
    name = made(WHOLE)

    with pytest.raises(ExtensionInvalid, match="named twice"):
        join(name, name)
