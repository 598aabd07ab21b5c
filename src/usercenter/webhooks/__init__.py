"""Telling other systems: signed HTTP calls (Standard Webhooks), safely sent, and each attempt on record."""
