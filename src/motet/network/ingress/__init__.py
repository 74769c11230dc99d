"""Ingresses served by every node: HTTP from outside to services, through Caddy, which Motet starts and tells what to do."""
