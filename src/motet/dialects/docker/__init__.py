"""The Docker Engine's API, Swarm's part of it included, as far as the docker command line and its libraries need it."""
