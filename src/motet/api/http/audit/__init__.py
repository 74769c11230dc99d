"""The audit log: who did what, and when (Kubernetes "Auditing", audit.k8s.io/v1)."""
