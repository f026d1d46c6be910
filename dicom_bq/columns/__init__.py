"""An ElementTable to nested Arrow columns."""
