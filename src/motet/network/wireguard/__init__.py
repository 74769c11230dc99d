"""Pods of other nodes, reached through WireGuard.

`keys` are the node's own and when they change, `decide` what is to be done; `kernel` does it to links and routes, an `engine`
(the kernel's or `wireguard-go`) to sessions; `loop` keeps all of it true to the Node documents.
"""
