"""The post: from a committed event to its effects, through the outbox, Kafka, the inbox and the tasks."""
