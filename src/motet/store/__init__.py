"""Documents, revisions, watch and compaction: the kernel's memory, on SQLite (and later etcd)."""
