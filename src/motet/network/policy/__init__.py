"""NetworkPolicy: what policies and pods say (`views`), who may talk to whom (`compile`), as nftables sets (`ruleset`, `loop`)."""
