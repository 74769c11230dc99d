"""Volumes of CSI drivers in pods."""
