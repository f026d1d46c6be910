"""A column to the type a destination calls it; nothing else, no SDK."""
