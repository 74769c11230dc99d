"""Containers: `docker run` and all that goes with it. A container is a PodTemplate, and each run of it a Pod."""
