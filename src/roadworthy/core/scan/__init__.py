"""Red flags of a proof of concept, found by reading its notebooks and scripts. Texts in, findings out; nothing is run."""
