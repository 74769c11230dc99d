"""Images from sources: buildah builds them, and they go straight into the node without a registry between."""
