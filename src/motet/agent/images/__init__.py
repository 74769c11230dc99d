"""The images of a node for whoever may use its agent: looked at, named, fetched, sent, built."""
