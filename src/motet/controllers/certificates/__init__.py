"""CertificateSigningRequests: approved where upstream approves by itself, signed by the cluster's root, cleared away."""
