"""An interactive process in a container: `protocol` is what goes over the wire (pure), `attach` ties it to this terminal."""
