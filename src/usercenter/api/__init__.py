"""The front door: HTTP for people and services."""
