"""MicroPython's hardware modules on a simulated chip; these files also run inside MicroPython."""
