"""The chip at a port, in its boot loader, by means of esptool."""

from __future__ import annotations

import contextlib
import enum
import os
import sys
from collections.abc import Iterator
from types import TracebackType
from typing import Any

import serial
from esp_pylib.logger import EspLog, EspLogBase
from esptool import cmds
from esptool.util import FatalError, flash_size_bytes, strip_chip_name

from lunette.console.transport import BAUD, open_port
from lunette.deploy import Progress
from lunette.errors import LunetteError
from lunette.flash.image import FlashImage

ATTEMPTS = 7  # to get into the boot loader
_NO_FLASH = (0x000000, 0xFFFFFF, 0xFFFF3F)  # what is read where no flash answers
_BY_HAND = "hold the board's BOOT button, press and let go of RESET, let go of BOOT"


class State(enum.Enum):
    """What is on the chip by now."""

    UNTOUCHED = "nothing on the chip has been changed"
    GONE = (
        "what was on the chip is erased and MicroPython is not whole yet, which does the chip no harm: its "
        "boot loader is in ROM"
    )
    WRITTEN = "MicroPython is on the chip, and verified"


class Chip:
    """`with connect(...) as chip`. `name` is as boards have it ("esp32s3"), `words` as esptool describes it,
    `flash_size` in bytes, None where the flash does not say. `state` says what has been done to it,
    `can_reset` whether the port can reset it.

    Methods raise LunetteError with what to do, and with the state.
    """

    def __init__(self, port: str, device: Any, progress: Progress):
        self.port = port
        self.state = State.UNTOUCHED
        self.can_reset = _has_lines(port, device)
        self.name = self.words = self.mac = ""
        self.flash_size: int | None = None
        self._device = device
        self._progress = progress
        self._esp: Any = None

    def __enter__(self) -> Chip:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """One that is as it was goes on with what it did."""
        if self.state is State.UNTOUCHED:
            with contextlib.suppress(LunetteError):
                self.restart()
        with contextlib.suppress(OSError):
            self._device.close()

    def identify(self, baud: int, stub: bool, attempts: int) -> None:
        with self._doing("connecting"):
            mode = "default-reset" if self.can_reset else "no-reset"
            esp = self._esp = cmds.detect_chip(self._device, BAUD, mode, connect_attempts=attempts)
            esp.WRITE_FLASH_ATTEMPTS = 1  # of its own accord it would wait for the cable to come back
            if esp.secure_download_mode:
                raise self._error(
                    f"the chip on {self.port} is locked (secure download mode), which nothing undoes",
                    "take another board, and",
                )
            self.name = strip_chip_name(esp.CHIP_NAME)
            self.words = esp.get_chip_description()
            self.mac = ":".join(f"{byte:02x}" for byte in esp.read_mac())
        if stub:
            with self._doing("starting the flasher"):
                esp = self._esp = cmds.run_stub(esp)
                esp.WRITE_FLASH_ATTEMPTS = 1
        with self._doing("looking at the flash"):
            if baud != BAUD and not self.port.startswith("socket://"):
                esp.change_baud(baud)
            cmds.attach_flash(esp)
            if esp.flash_id() in _NO_FLASH:
                raise self._error(
                    f"the flash of the chip on {self.port} does not answer",
                    "take everything off the board's pins, and",
                    "; if it stays so, the board is broken: take another one",
                )
            self.flash_size = flash_size_bytes(cmds.detect_flash_size(esp))

    def erase(self) -> None:
        """All of the flash."""
        with self._doing("erasing", State.GONE):
            if self._esp.IS_STUB:
                cmds.erase_flash(self._esp)
            else:
                cmds.erase_region(self._esp, 0, self.flash_size or 4 << 20)

    def write(self, image: FlashImage) -> None:
        """Write it, and compare what is there by its digest."""
        with self._doing("writing", State.GONE):
            cmds.write_flash(self._esp, [(image.offset, image.data)])
            self.state = State.WRITTEN

    def restart(self) -> bool:
        """Let it run what is in flash; False if the port has no line for that."""
        if not self.can_reset or self._esp is None:
            return False
        with self._doing("resetting"):
            self._esp.hard_reset()
        return True

    @contextlib.contextmanager
    def _doing(self, what: str, state: State | None = None) -> Iterator[None]:
        with _listening(self._progress):
            if state is not None:
                self.state = state
            try:
                yield
            except serial.SerialTimeoutException:
                raise self._error(f"the chip on {self.port} takes nothing any more, while {what}") from None
            except OSError as error:  # pyserial's own among them
                raise self._gone(what, error) from None
            except FatalError as error:
                raise self._failed(what, str(error)) from None
            except (RuntimeError, StopIteration, IndexError) as error:
                # esptool's parser of packets, when what comes is none.
                raise self._garbled(what, str(error)) from None

    def _gone(self, what: str, error: OSError) -> LunetteError:
        return self._error(
            f"{self.port} went away while {what} ({str(error).rpartition(': ')[2]})",
            "plug the board in again (a cable with data lines, no hub), and",
        )

    def _garbled(self, what: str, said: str) -> LunetteError:
        return self._error(
            f"what comes from {self.port} while {what} is garbled ({said})",
            "close what else uses the port, take another cable, or add --baud 115200;",
        )

    def _failed(self, what: str, said: str) -> LunetteError:
        said = said.partition("\n")[0].rstrip(". ")
        if self._esp is None:
            if "TX path" in said:
                return self._error(
                    f"the chip on {self.port} is in its boot loader but hears nothing",
                    "take another cable, disconnect what is on the pins of its serial port;",
                )
            other = "Invalid head" in said or "SLIP escape" in said or "boot mode" in said
            also = ", but something else does: a program on the chip, or a bad line" if other else ""
            return self._error(
                f"no boot loader answers on {self.port}{also}",
                f"{_BY_HAND}; if that is of no use, take a cable with data lines, close other programs that "
                "use the port, and",
            )
        if what == "starting the flasher":
            return self._error(
                f"esptool's flasher does not start on the chip on {self.port} ({said})",
                f"{_BY_HAND}, and add --no-stub;",
            )
        if "MD5 of file" in said or "region is empty" in said:
            return self._error(
                f"the flash of the chip on {self.port} does not hold what was written",
                "use a port that gives more power (no hub), and",
                "; if it happens again, the flash is worn out or broken",
            )
        if "security features" in said or "ncrypt" in said or "Secure Boot" in said:
            return self._error(
                f"the chip on {self.port} is protected ({said}), which nothing undoes",
                "take another board, and",
            )
        if "Invalid head" in said or "SLIP" in said or "doesn't match" in said:
            return self._garbled(what, said)
        return self._error(
            f"the chip on {self.port} failed while {what} ({said})",
            f"{_BY_HAND} (or unplug it and plug it in), and",
        )

    def _error(self, why: str, do: str = "", after: str = "") -> LunetteError:
        state = self.state.value
        first = f"{do} " if do else ""
        return LunetteError(
            f"{why}. {state[0].upper()}{state[1:]}. To go on: {first}run the same command again{after}"
        )


def connect(
    port: str, progress: Progress, baud: int = BAUD, stub: bool = True, attempts: int = ATTEMPTS
) -> Chip:
    """The chip at a port, reset into its boot loader where the port can do that, and identified. `baud` is
    what is used after that, `stub` whether esptool's own flasher is started on it.

    Raises LunetteError: no such port, not allowed, in use, no boot loader, no flash.
    """
    chip = Chip(port, open_port(port), progress)
    try:
        chip.identify(baud, stub, attempts)
    except BaseException:
        chip.__exit__(None, None, None)
        raise
    return chip


def _has_lines(port: str, device: Any) -> bool:
    """Has the port the lines that reset a chip? Sockets have not, nor have pseudo terminals."""
    if port.startswith("socket://"):
        return False
    try:
        _ = device.cts
    except (OSError, NotImplementedError):
        return False
    return True


# --- esptool's words --------------------------------------------------------------------------------


class _Log(EspLogBase):
    """What esptool prints, as progress; all of it on standard error with LUNETTE_DEBUG."""

    def __init__(self, progress: Progress):
        self._progress = progress
        self._done = 0
        self._show = bool(os.environ.get("LUNETTE_DEBUG"))

    def print(self, *args: Any, **_: Any) -> None:
        text = " ".join(map(str, args))
        if text.startswith("Verifying"):
            self._progress.say("verifying")
        if self._show:
            print(f"esptool: {text}", file=sys.stderr)

    def err(self, *args: Any, suggestion: str | None = None) -> None:
        self.print(*args)

    def warn(self, *args: Any, suggestion: str | None = None) -> None:
        self.print(*args)

    # Names of before, which its own modules still use.
    error = err
    warning = warn

    def note(self, *args: Any) -> None:
        self.print(*args)

    def hint(self, *args: Any) -> None:
        self.print(*args)

    def debug(self, *args: Any) -> None:
        self.print(*args)

    def set_verbosity(self, mode: int | str) -> None:
        pass

    def progress_bar(
        self, cur_iter: int, total_iters: int, prefix: str = "", suffix: str = "", bar_length: int = 30
    ) -> None:
        if not self._done:
            self._progress.plan(total_iters)
        self._progress.step(cur_iter - self._done)
        self._done = cur_iter if cur_iter < total_iters else 0


@contextlib.contextmanager
def _listening(progress: Progress) -> Iterator[None]:
    before, EspLog.instance = EspLog.instance, _Log(progress)
    try:
        yield
    finally:
        EspLog.instance = before
