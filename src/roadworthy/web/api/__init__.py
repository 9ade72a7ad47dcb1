"""The HTTP interface, version 1: decisions, outcomes, traces, health and its own description."""
