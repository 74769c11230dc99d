"""Several nodes on one machine: each a network namespace with its own containerd, cgroups and rules, joined by a switch.

`plan` says who is where, `switch` is the cable and the socket in the wall, `box` one machine, `cluster` all of them.
"""
