"""One short module per stage kind: load, call, publish."""
