"""Schemas as data: what every field is called, holds, merges like and is numbered on the wire.

Built-in kinds, Motet's own kinds and custom resources all end up as `model.Schema` trees, and the same few functions
validate, prune, merge and decode all of them.
"""
