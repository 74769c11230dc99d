"""Who is who: the cluster's certificate authority, and the certificates it gives."""
