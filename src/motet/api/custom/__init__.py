"""Serving custom resources: which kinds there are at a moment (`serving`), and their versions (`versions`, `conversion`)."""
