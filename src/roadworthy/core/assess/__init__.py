"""Whether a use case is fit for AI: one question a file, each a pure function of arrays that gives an `Answer`."""
