"""A manager process put together: store, API, controllers and scheduler."""
