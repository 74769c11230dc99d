"""Who may do what, as documents (rbac.authorization.k8s.io/v1): roles, and bindings of roles to subjects."""

GROUP = "rbac.authorization.k8s.io"
VERSION = "v1"
