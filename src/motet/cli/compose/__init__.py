"""Compose files: read with every mistake named by line, and said again in the kernel's own documents.

`source` reads YAML and remembers lines, `interpolate` fills in variables, `read` turns the tree into `model`, `translate` is pure.
The Compose Specification (compose-spec.io) is what is followed.
"""
