"""What somebody who comes from Swarm does with the docker command line, on three nodes that these tests share."""
