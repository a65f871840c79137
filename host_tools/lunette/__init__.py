"""Host side of Lunette: the ``lunette`` command, its Bluetooth client and the virtual glasses."""

__version__ = "0.1.0"
