"""Rows and rules: no session, no network, no clock."""
