"""`docker events`: what changes in the kernel, in Docker's words."""
