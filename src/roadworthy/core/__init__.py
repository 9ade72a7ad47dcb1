"""The pure part of the house: it reads no clock, no randomness, no environment and no files."""
