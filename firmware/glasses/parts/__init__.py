"""Drivers, one file a part. They talk to MicroPython's hardware modules and to nothing above."""
