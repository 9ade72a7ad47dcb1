"""Red flags of a proof of concept, found by reading its notebooks and scripts: texts in, findings out."""
