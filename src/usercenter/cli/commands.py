"""The tree of commands. The strings are imported when a command is called."""

from cyclopts import App

from usercenter import __version__

_EPILOGUE = (
    "Data goes to stdout, everything else to stderr. Exit status: 0 fine, 1 check failed, 2 usage, 3 unreachable."
)

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
    help="Show a registration from the request to the welcome mail, on embedded parts.",
)
app.command("usercenter.cli.kafka:kafka", name="kafka", help="Run one of Kafka's own tools, from the embedded jars.")

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
_mail = App(name="mail", help="The mails that users get.")
_mail.command("usercenter.cli.mail:preview", name="preview", help="Print a mail as a user would get it.")
for group in (_config, _db, _topics, _mail):
    app.command(group)
