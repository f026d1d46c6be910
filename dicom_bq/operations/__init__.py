"""Exports as long-running operations: what is kept of each, for whoever asks while it runs and afterwards."""
