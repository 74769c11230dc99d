"""Names for pods and services on every node (the Kubernetes DNS specification 1.1), and the way to all other names."""
