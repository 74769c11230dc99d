"""API aggregation: groups and versions that another server answers for, named in APIServices (Kubernetes "Aggregation Layer")."""
