"""Every command on one page: what it is called, where it lives, what it does, and an example that may be typed."""

from typing import Final

from cyclopts import App

from usercenter.cli.tree import group, rows, tree

GROUPS: Final = {
    "config": "The configuration.",
    "db": "The schema in PostgreSQL.",
    "topics": "The topics on the broker.",
    "groups": "The consumer groups: who reads what, and how far they are.",
    "events": "The events: what they look like, whether they still fit, and a new one.",
    "user": "Accounts, one or many.",
    "tasks": "Work that waits or is parked.",
    "dead-letters": "Work that was given up: why, and what is done about it.",
    "replay": "Handlers run again for past events, and missing events done.",
    "operations": "Who did what about which work.",
    "webhooks": "Other systems that are told what happens to users.",
    "metrics": "The figures for Prometheus.",
    "mail": "The mails and text messages that users get.",
}

COMMANDS: Final = rows(
    """
run                   run:run                     Run the service until Ctrl-C or SIGTERM.
                      usercenter run --roles relay,worker
demo                  demo:demo                   Show the life of one user: six events, and all that follows.
                      usercenter demo
top                   top:top                     Watch how work flows: what lies where, how far behind, how fast.
                      usercenter top --every 2
doctor                doctor:doctor               See whether all that the service needs is there, and what to do.
                      usercenter doctor
verify                verify:verify               See whether all is well: the books of each group, and what is wrong.
                      usercenter verify
brokers               brokers:brokers             List the brokers and their versions.
                      usercenter brokers --versions
kafka                 kafka:kafka                 Run one of Kafka's own tools, from the embedded jars.
                      usercenter kafka console-consumer --topic user.events --from-beginning
completion            completion:completion       Print what makes a shell complete this command.
                      usercenter completion bash > ~/.local/share/bash-completion/completions/usercenter
config check          config:check                Print every setting in force and where it comes from.
                      usercenter config check --config configs/production.yaml
db upgrade            db:upgrade                  Bring the schema up to this version of the code.
                      usercenter db upgrade
db current            db:current                  Print the schema's revision.
                      usercenter db current
topics create         topics:create               Make the configured topics that are missing.
                      usercenter topics create
topics list           topics:list_                List the broker's topics.
                      usercenter topics list --internal
topics describe       topics:describe             Describe one topic's partitions.
                      usercenter topics describe user.events
topics purge          topics:purge                Delete the records that a topic holds now.
                      usercenter topics purge user.analytics
topics delete         topics:delete               Delete a topic with its records.
                      usercenter topics delete user.analytics --yes
groups list           groups:list_                List the groups, and how far they are behind.
                      usercenter groups list
groups describe       groups:describe             Describe one group: members, offsets.
                      usercenter groups describe usercenter
groups reset-offsets  groups:reset_offsets        Let a group go on somewhere else.
                      usercenter groups reset-offsets usercenter --to 2026-11-23T00:00:00Z
groups resume         stops:resume                Let a group go on that stopped itself.
                      usercenter groups resume usercenter
events list           events:list_                List every event with its topic and its handlers.
                      usercenter events list
events show           events:show                 Show one event: fields, handlers, an example.
                      usercenter events show user.registered
events schema         events:schema               Print JSON Schema, or AsyncAPI of all topics.
                      usercenter events schema --asyncapi > asyncapi.json
events check          events:check                Compare the classes with all stored versions.
                      usercenter events check --write
events docs           events:docs                 Print the catalogue as Markdown.
                      usercenter events docs > docs/events.md
events new            events:new                  Write a new event with its handler and its test.
                      usercenter events new user.profile_updated --folder acme
user show             user:show                   Print what is kept about a user.
                      usercenter user show alice
user timeline         timeline:timeline           Show what became of each event of a user, handler by handler.
                      usercenter user timeline alice --attempts
user status           user:status                 Activate, deactivate or suspend an account.
                      usercenter user status alice suspended --reason "asked by the owner"
user role             user:role                   Make somebody an admin, an auditor or a plain user.
                      usercenter user role alice admin
user delete           user:delete                 Delete an account, for good.
                      usercenter user delete alice --yes
user import           user:import_                Open an account for each record of a file.
                      usercenter user import users.csv
user export           user:export                 Print every user.
                      usercenter user export --format csv > users.csv
tasks list            tasks:list_                 List tasks, the next ones first.
                      usercenter tasks list --state parked --handler send_mail
tasks show            tasks:show_task             Show one, personal data masked.
                      usercenter tasks show 42
tasks retry-now       tasks:retry_now             Let parked lanes come due now.
                      usercenter tasks retry-now --handler send_mail --yes
dead-letters list     dead_letters:list_          List dead letters, the latest first.
                      usercenter dead-letters list --handler send_mail --since 24h
dead-letters causes   dead_letters:causes         Group them by what they died of.
                      usercenter dead-letters causes --since 24h
dead-letters show     dead_letters:show_letter    Show one, personal data masked.
                      usercenter dead-letters show 42
dead-letters retry    dead_letters:retry          Make work of them again, in their lanes.
                      usercenter dead-letters retry --user ID --yes
dead-letters discard  dead_letters:discard        Put them away, with a reason.
                      usercenter dead-letters discard 42 --reason "test data" --yes
dead-letters redrive  redrive:redrive             Many: preview, canary, rate, and an end.
                      usercenter dead-letters redrive --handler send_mail --preview
replay                replay:start                Handlers run again for past events, and missing events done.
                      usercenter replay --handler write_login_log --from 24h --yes
replay status         replay:status               Say how far the latest replays are.
                      usercenter replay status
replay pause          replay:pause                Let a replay stop after the events in hand.
                      usercenter replay pause ID
replay resume         replay:resume               Go on with one that was paused or killed.
                      usercenter replay resume ID
operations list       operations:list_            List what operators did, the latest first.
                      usercenter operations list --kind redrive
operations show       operations:show_operation   Show one, with its selection.
                      usercenter operations show ID
webhooks list         webhooks:list_              List the webhooks.
                      usercenter webhooks list
webhooks create       webhooks:create             Subscribe a receiver; prints its secret once.
                      usercenter webhooks create https://crm.example.com/hooks --events user.updated
webhooks delete       webhooks:delete             Forget a webhook with its deliveries.
                      usercenter webhooks delete ID --yes
webhooks deliveries   webhooks:deliveries         List what was sent and answered.
                      usercenter webhooks deliveries ID --limit 5
webhooks redeliver    webhooks:redeliver          Send an event again, now.
                      usercenter webhooks redeliver ID 42
webhooks test         webhooks:send_test          Send a test event, now.
                      usercenter webhooks test ID
metrics docs          metrics:docs                Print the list of all metrics as Markdown.
                      usercenter metrics docs > docs/metrics.md
mail preview          mail:preview                Print a mail or an SMS as a user would get it.
                      usercenter mail preview welcome --locale zh-CN --html welcome.html
"""
)
"""Of each: its name, its function below `usercenter.cli`, its line in the list; and an example, in which ID is any."""

app = tree(COMMANDS, GROUPS)


def __getattr__(name: str) -> App:
    """A command that has commands of its own: made when it is asked for, because that imports its module."""
    if name not in GROUPS:
        raise AttributeError(name)
    return group(name, COMMANDS)
