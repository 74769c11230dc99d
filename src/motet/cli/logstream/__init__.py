"""Logs of several pods as one: `lines` takes streams apart and puts lines in order (pure), `follow` reads and keeps reading."""
