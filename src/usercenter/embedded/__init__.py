"""The laptop: PostgreSQL, Apache Kafka, Valkey and a mail catcher, the real ones, all from packages.

`parts.running` starts what the config has no address for, `parts.attached` finds it from another terminal. Each server
runs under a small guard (`guard.py`) that ends it when this process is gone, however it went.
"""
