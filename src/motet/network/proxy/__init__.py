"""Service traffic: what services want (`desired`), as nftables elements (`ruleset`), kept current (`loop`)."""
