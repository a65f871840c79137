"""The sub-commands of `lunette`, a file each. Heavy imports wait until a command runs."""
