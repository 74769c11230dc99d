"""Bringing a project's documents into the cluster: what to write, in which order, until all of it works, and back again.

`objects` compares and overlays documents, `journal` writes and takes back, `states` judges services, `order` says which
is written first, `ports` finds what is taken, `images` fetches, `run` does one after the other.
"""
