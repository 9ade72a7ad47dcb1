"""Whether a system is ready for the road: six properties, one a file, each item from what the home holds of it.

A question that nobody asked is not an item: everything here is computed from documents that something real left behind.
"""
