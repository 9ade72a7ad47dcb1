"""The verbs: each file is one thing that Roadworthy does, from what was read to what is kept."""
