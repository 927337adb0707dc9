"""Measurements: each prints a table and writes JSON. Ratios within one run count; machines are noisy."""
