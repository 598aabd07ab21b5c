"""`usercenter kafka TOOL …`: Kafka's own tools, from the embedded jars."""

from typing import Annotated

from cyclopts import Parameter

from usercenter.cli import candidates
from usercenter.cli.loading import embedded_parts
from usercenter.cli.settings import of_running


def kafka(
    tool: Annotated[str, Parameter(completer=candidates.tools, help="Its name.")],
    /,
    *arguments: Annotated[str, Parameter(help="The tool's own.")],
) -> int:
    """Run one of Kafka's own tools against the configured brokers; all that follows its name goes to the tool.

    It logs in there as our clients do (`kafka.librdkafka`), unless the arguments name other brokers or settings.

    Tools: console-consumer, console-producer, topics, consumer-groups, configs, log-dirs, broker-api-versions.
    """
    embedded_parts()
    from usercenter.embedded import kafka_tools
    from usercenter.messaging import live

    kafka_tools.main_class(tool)  # a name that is wrong is wrong without a broker too
    settings = of_running(None).kafka
    if kafka_tools.asks_ours(arguments):
        live.reach(settings)
    return kafka_tools.run_tool(tool, list(arguments), brokers=settings.brokers, librdkafka=settings.librdkafka)
