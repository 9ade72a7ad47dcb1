"""Complete systems to start from, each with a simulator of its world."""
