"""The node's network: pod addresses, service traffic in nftables, and names. No packet passes through Python."""
