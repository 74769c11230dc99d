"""Whose turn it is: requests are matched to flows, and flows to the seats of a level (Kubernetes "API Priority and Fairness")."""
