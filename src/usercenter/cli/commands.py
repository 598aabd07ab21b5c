"""The tree of commands. The strings are imported when a command is called."""

from cyclopts import App

from usercenter import __version__
from usercenter.cli.replay import start

_EPILOGUE = (
    "Data goes to stdout, everything else to stderr. Exit status: 0 fine, 1 check failed, 2 usage, 3 unreachable."
)


def _with(what: str, example: str) -> str:
    """What a list of commands says in its line, and on the command's own page an example below it."""
    return f"{what}\n\nExample: {example}"


app = App(
    name="usercenter",
    help="Owns a company's accounts and tells the rest, through Apache Kafka, what happened to them.",
    help_epilogue=_EPILOGUE,
    version=__version__,
)
app.command("usercenter.cli.run:run", name="run", help="Run the service until Ctrl-C or SIGTERM.")
app.command(
    "usercenter.cli.demo:demo",
    name="demo",
    help="Show the life of one user: six events and all that follows, on embedded parts.",
)
app.command("usercenter.cli.brokers:brokers", name="brokers", help="List the brokers and their versions.")
app.command("usercenter.cli.kafka:kafka", name="kafka", help="Run one of Kafka's own tools, from the embedded jars.")
app.command(
    "usercenter.cli.verify:verify",
    name="verify",
    help="See whether all is well: the books of each group, and what is wrong.",
)

_config = App(name="config", help="The configuration.")
_config.command(
    "usercenter.cli.config:check", name="check", help="Print every setting in force and where it comes from."
)
_db = App(name="db", help="The schema in PostgreSQL.")
_db.command("usercenter.cli.db:upgrade", name="upgrade", help="Bring the schema up to this version of the code.")
_db.command("usercenter.cli.db:current", name="current", help="Print the schema's revision.")
_topics = App(name="topics", help="The topics on the broker.")
_topics.command("usercenter.cli.topics:create", name="create", help="Make the configured topics that are missing.")
_topics.command("usercenter.cli.topics:list_", name="list", help="List the broker's topics.")
_topics.command("usercenter.cli.topics:describe", name="describe", help="Describe one topic's partitions.")
_topics.command("usercenter.cli.topics:purge", name="purge", help="Delete the records that a topic holds now.")
_topics.command("usercenter.cli.topics:delete", name="delete", help="Delete a topic with all its records.")
_groups = App(name="groups", help="The consumer groups: who reads what, and how far they are.")
_groups.command("usercenter.cli.groups:list_", name="list", help="List the groups, and how far they are behind.")
_groups.command("usercenter.cli.groups:describe", name="describe", help="Describe one group's members and offsets.")
_groups.command("usercenter.cli.groups:reset_offsets", name="reset-offsets", help="Let a group go on somewhere else.")
_groups.command("usercenter.cli.stops:resume", name="resume", help="Let a group go on that stopped itself.")
_mail = App(name="mail", help="The mails and text messages that users get.")
_mail.command("usercenter.cli.mail:preview", name="preview", help="Print a mail or an SMS as a user would get it.")
_events = App(name="events", help="The events: what they look like, whether they still fit, and a new one.")
_events.command("usercenter.cli.events:list_", name="list", help="List every event with its topic and its handlers.")
_events.command("usercenter.cli.events:show", name="show", help="Show one event: fields, handlers, an example.")
_events.command("usercenter.cli.events:schema", name="schema", help="Print JSON Schema, or AsyncAPI of all topics.")
_events.command("usercenter.cli.events:check", name="check", help="Compare the classes with all stored versions.")
_events.command("usercenter.cli.events:docs", name="docs", help="Print the catalogue of events as Markdown.")
_events.command("usercenter.cli.events:new", name="new", help="Write a new event with its handler and its test.")
_webhooks = App(name="webhooks", help="Other systems that are told what happens to users.")
_webhooks.command("usercenter.cli.webhooks:list_", name="list", help="List the webhooks.")
_webhooks.command("usercenter.cli.webhooks:create", name="create", help="Subscribe a receiver; prints its secret once.")
_webhooks.command("usercenter.cli.webhooks:delete", name="delete", help="Forget a webhook with its deliveries.")
_webhooks.command("usercenter.cli.webhooks:deliveries", name="deliveries", help="List what was sent and answered.")
_webhooks.command("usercenter.cli.webhooks:redeliver", name="redeliver", help="Send an event again, now.")
_webhooks.command("usercenter.cli.webhooks:send_test", name="test", help="Send a test event, now.")
_user = App(name="user", help="Accounts, one or many.")
_user.command("usercenter.cli.user:show", name="show", help="Print what is kept about a user.")
_user.command("usercenter.cli.user:status", name="status", help="Activate, deactivate or suspend an account.")
_user.command("usercenter.cli.user:role", name="role", help="Make somebody an admin, an auditor or a plain user.")
_user.command("usercenter.cli.user:delete", name="delete", help="Delete an account, for good.")
_user.command("usercenter.cli.user:import_", name="import", help="Open an account for each record of a file.")
_user.command("usercenter.cli.user:export", name="export", help="Print every user.")
_letters = App(name="dead-letters", help="Work that was given up: why, and what is done about it.")
_letters.command(
    "usercenter.cli.dead_letters:list_",
    name="list",
    help=_with("List dead letters, the latest first.", "usercenter dead-letters list --handler send_mail --since 24h"),
)
_letters.command(
    "usercenter.cli.dead_letters:causes",
    name="causes",
    help=_with("Group them by what they died of.", "usercenter dead-letters causes --since 24h"),
)
_letters.command(
    "usercenter.cli.dead_letters:show_letter",
    name="show",
    help=_with("Show one, personal data masked.", "usercenter dead-letters show 42"),
)
_letters.command(
    "usercenter.cli.dead_letters:retry",
    name="retry",
    help=_with("Make work of them again, in their lanes.", "usercenter dead-letters retry --handler send_mail"),
)
_letters.command(
    "usercenter.cli.dead_letters:discard",
    name="discard",
    help=_with("Put them away, with a reason.", 'usercenter dead-letters discard 42 --reason "test data" --yes'),
)
_letters.command(
    "usercenter.cli.redrive:redrive",
    name="redrive",
    help=_with("Many: preview, canary, rate, and an end.", "usercenter dead-letters redrive --preview"),
)
_tasks = App(name="tasks", help="Work that waits or is parked.")
_tasks.command(
    "usercenter.cli.tasks:list_",
    name="list",
    help=_with("List tasks, the next ones first.", "usercenter tasks list --state parked"),
)
_tasks.command(
    "usercenter.cli.tasks:show_task",
    name="show",
    help=_with("Show one, personal data masked.", "usercenter tasks show 42"),
)
_tasks.command(
    "usercenter.cli.tasks:retry_now",
    name="retry-now",
    help=_with("Let parked lanes come due now.", "usercenter tasks retry-now --handler send_mail --yes"),
)
_operations = App(name="operations", help="Who did what about which work.")
_operations.command(
    "usercenter.cli.operations:list_",
    name="list",
    help=_with("List what operators did, the latest first.", "usercenter operations list --kind redrive"),
)
_operations.command(
    "usercenter.cli.operations:show_operation",
    name="show",
    help=_with("Show one, with its selection.", "usercenter operations show 0197c0de-0000-7000-8000-000000000001"),
)
_replay = App(name="replay", help="Handlers run again for events that happened, and missing events done at last.")
_replay.default(start)
_replay.command("usercenter.cli.replay:pause", name="pause", help="Let a replay stop after the events in hand.")
_replay.command("usercenter.cli.replay:resume", name="resume", help="Go on with one that was paused or killed.")
_replay.command("usercenter.cli.replay:status", name="status", help="Say how far the latest replays are.")
for group in (_user, _config, _db, _topics, _groups, _mail, _events, _webhooks, _letters, _tasks, _operations, _replay):
    app.command(group)
