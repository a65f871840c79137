"""Kernels on buffers: no imports from the rest of the firmware, no allocation, nothing checked.

The kernels are ``@micropython.viper``: offsets and counts are the caller's responsibility, a wrong one
corrupts memory. Integers are 32 bits on the chip and 64 on a PC, so every intermediate result stays
within 32 bits; constant indices stay within 0..255, there is no unary minus or ``~``, and no constant
is above 2**30-1 (it would not be a small integer on the chip). The tests check all of this.
"""
