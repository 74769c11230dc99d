"""Role-based access control: roles and bindings made into indices, and what may be written into them."""
