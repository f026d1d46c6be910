"""Where header bytes come from."""
