"""The rivals: other ways to answer the same rows, each a room, all of one shape."""
