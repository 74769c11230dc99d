"""Pod Security: what a namespace lets its pods do, told by its labels (Kubernetes "Pod Security Standards" and "Admission")."""
