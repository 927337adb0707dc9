"""Connectors: our code for each kind of channel."""
