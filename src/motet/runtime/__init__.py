"""Container runtimes behind one interface: CRI (containerd) and the hollow one for scale tests."""
