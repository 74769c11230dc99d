"""Ground floor: time, names, quantities, selectors and errors. Imports nothing of Motet's."""
