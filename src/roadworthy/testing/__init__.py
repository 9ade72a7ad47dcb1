"""The laws as reusable suites: what every implementation, ours or another's, is held to."""
