"""`usercenter kafka TOOL …`: Kafka's own tools, from the embedded jars."""

from usercenter.cli.settings import embedded_parts, of_running


def kafka(tool: str, /, *arguments: str) -> int:
    """Run one of Kafka's own tools against the configured brokers; all that follows its name goes to the tool.

    Tools: console-consumer, console-producer, topics, consumer-groups, configs, log-dirs, broker-api-versions.
    """
    embedded_parts()
    from usercenter.embedded.kafka_tools import run_tool

    return run_tool(tool, list(arguments), brokers=of_running(None).kafka.brokers)
