"""How the numbers in the firmware's kernels were found: for whoever changes them. Needs scipy."""
