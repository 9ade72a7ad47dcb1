"""Where work runs when one interpreter is not enough: `processes`."""
