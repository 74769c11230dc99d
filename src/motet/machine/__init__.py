"""Motet on this machine: where its parts live, starting and stopping them, and taking everything away again."""
