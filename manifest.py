# Freezes the firmware into a MicroPython image: its code then takes flash instead of memory. In MicroPython's
# ports/esp32, with the path to this file:  make BOARD=ESP32_GENERIC_C3 FROZEN_MANIFEST=/path/to/manifest.py
# boot.py, main.py and board.py stay files on the glasses (docs/install_other_ways.md).
# ruff: noqa: F821 - the build that runs this has these functions
metadata(description="A MicroPython runtime for AI glasses", version="0.1.0", license="MIT")
include("$(PORT_DIR)/boards/manifest.py")  # what that image has frozen anyway, asyncio among it
package("glasses", base_path="firmware")
