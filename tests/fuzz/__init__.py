"""Hostile bytes: what anybody in range, and a host gone mad, can send to the glasses. `make fuzz`."""
