"""A chip in its boot loader: what a flash tool meets at the port of an ESP32, ESP32-S3 or ESP32-C3 board.

Modelled: the serial protocol of the boot ROM and of esptool's stub flasher, chip identification, the flash as
NOR memory (erase sets bits, programming only clears them), baud rates on a terminal device, reset into what
is in flash, and the faults of `Faults`. Not modelled: a processor (the stub is recognised, not run; other
code in RAM is silent), the DTR and RTS lines (a pseudo terminal has none: `Port.reset` is the button),
fuses that are burnt, secure boot, flash encryption, and how long erasing and writing take.
"""

from lunette.virtual.rom.chips import CHIPS
from lunette.virtual.rom.faults import Faults
from lunette.virtual.rom.loader import Loader
from lunette.virtual.rom.nor import NorFlash
from lunette.virtual.rom.port import Port

__all__ = ["CHIPS", "Faults", "Loader", "NorFlash", "Port"]
