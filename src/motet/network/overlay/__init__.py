"""Pods of other nodes, reached through VXLAN: `peers` are who, `decide` what is to be done, `kernel` and `loop` do it."""
