"""One interface to the kernel, two ways: in the manager's process and over HTTPS."""
