"""ResourceQuota: what everything in a namespace uses, kept current, and who may add to it."""
