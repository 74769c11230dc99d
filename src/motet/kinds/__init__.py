"""The catalogue: one module per kind, and the machinery that reads schemas."""
