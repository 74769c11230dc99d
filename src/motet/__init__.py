"""Motet: a container orchestrator."""
