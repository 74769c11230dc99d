from tests.api.registry.conftest import clock, registry

__all__ = ["clock", "registry"]
