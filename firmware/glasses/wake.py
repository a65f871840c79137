"""Why this start happened, and what has to be done before anything else is: after a press, listening.

boot.py starts this before anything else. So it imports little, and of the drivers only what a press needs.
"""

import sys
import time

import machine

from glasses.retained import retained

# What a start can come of.
POWER_ON = "power-on"
RESET = "reset"
WATCHDOG = "watchdog"
SOFT = "soft reset"
BUTTON = "button"
TIMER = "timer"
TOUCH = "touch"
USB = "usb"
WORN = "worn"

_TAP_MS = 40
_APP_MS = 30000

_CAUSES = {
    machine.PWRON_RESET: POWER_ON,
    machine.HARD_RESET: RESET,
    machine.WDT_RESET: WATCHDOG,
    machine.SOFT_RESET: SOFT,
}
_REASONS = {machine.TIMER_WAKE: TIMER, machine.TOUCHPAD_WAKE: TOUCH}


def cause():
    """Why the chip started, of the words above."""
    reset = machine.reset_cause()
    if reset != machine.DEEPSLEEP_RESET:
        return _CAUSES.get(reset, RESET)
    return _REASONS.get(machine.wake_reason(), BUTTON)


class Start:
    """`cause`; `slept`: what `sleep.py` noted before a deep sleep, {} after any other start; `stuck`: pins
    that were active then already, so that they are no fingers until they have been free; `board` data and its
    `parts`, None without; `currents`, its table or {}, and of that `boot_ms`; `early`: an EarlyCapture or
    None; `woke`: as `Fingers.watch` wants it; `presence`: what a beacon has brought up, or None; `crashes`:
    None until `look_back`; `held`: what a button that was down at a start by hand meant, in words, or ""."""

    def __init__(self, board=None, began_ms=None):
        self.began_ms = time.ticks_ms() if began_ms is None else began_ms
        self.currents = {}  # type: dict
        self.boot_ms = 0
        self.cause = cause()
        self.slept = {}  # type: dict
        self.stuck = []  # type: list[int]
        self.board = board
        self._parts = None
        self.early = None
        self.woke = None
        self.presence = None
        self.crashes = None
        self.held = ""
        self._timer = None
        if board is None:
            try:
                import board as data
            except ImportError:
                return
            self.board = data
        self.currents = getattr(self.board, "CURRENTS", {})
        self.boot_ms = int(self.currents.get("boot_ms", 0))
        if self.cause in (TIMER, BUTTON, TOUCH):
            # Taken once: a program that is started again at the prompt is not waking up any more.
            self.slept = retained.get("slept") or {}
            retained.remove("slept")
            self.stuck = list(self.slept.get("stuck") or ())
            if not self.slept:
                self.cause = SOFT
        if self.cause == BUTTON:
            self.press(self.boot_ms)
        if self.cause != TIMER:
            self.look_back()

    @property
    def parts(self):
        """Made when first asked for: a beacon does without, and without what they are made by."""
        if self._parts is None and self.board is not None:
            from glasses.board import Parts

            self._parts = Parts(self.board)
        return self._parts

    def look_back(self):
        """How the run before ended, and that this one has begun. Once; a beacon does without."""
        if self.crashes is None:
            from glasses.crashes import Crashes

            self.crashes = Crashes(retained)
            self.crashes.begin()

    def expect_app(self):
        """main.py is to come to `glasses.run()` soon. If it fails before that, the glasses would lie at the
        prompt, deaf, until the battery is empty; so they start again, and three of these lead to safe mode.

        Not after a soft reset: that is somebody at the prompt, or mpremote, which must not be disturbed."""
        if self.cause in (SOFT, TIMER) or self.crashes is None:
            return
        self._timer = machine.Timer(0)
        self._timer.init(mode=machine.Timer.ONE_SHOT, period=_APP_MS, callback=self._on_missing)

    def _on_missing(self, timer):
        self.crashes.note("main.py did not come to glasses.run()")
        machine.reset()

    def app_has_come(self):
        if self._timer is not None:
            self._timer.deinit()
            self._timer = None

    def spent(self):
        """({power state: ms}, {state: {consumer: uC}}) so far, with the sleep and the start that are over;
        ({}, {}) after a start that was no wake-up."""
        slept = self.slept
        spent = slept.get("spent") or {}
        charges = slept.get("charges") or {}
        if "at" in slept:
            from glasses import clock
            from glasses.energy import Meter

            boot_ms = self.boot_ms
            up_ms = time.ticks_diff(time.ticks_ms(), self.began_ms)
            slept_ms = max(0, clock.rtc_ms() - slept["at"] - boot_ms - up_ms)
            state = slept.get("state", "sleep")
            spent[state] = spent.get(state, 0) + slept_ms
            spent["standby"] = spent.get("standby", 0) + boot_ms
            meter = Meter(self.currents, charges)
            meter.started("standby", state, slept_ms, boot_ms)
            charges = meter.charges()
            del slept["at"]
        return spent, charges

    def press(self, ago_ms):
        """A finger came down `ago_ms` before the start. Listen, at once."""
        try:
            self._press(ago_ms)
        except Exception as error:  # without it the glasses are late, but there
            sys.print_exception(error)

    def _press(self, ago_ms):
        now = time.ticks_ms()
        parts = self.parts
        parts.make_first()
        down = [name for name in parts.buttons if parts.buttons[name].pressed and not self._is_stuck(name)]
        if not down and self._plugged():
            self.cause = USB
            return
        if not down and self._put_on():
            self.cause = WORN
            return
        if "talk" not in down:
            # Another button, or one that was let go while the chip started: that was a tap.
            name = down[0] if down else "talk"
            if name in parts.buttons:
                pressed = time.ticks_add(now, -ago_ms if down else -_TAP_MS)
                self.woke = (name, pressed, None if down else now)
            return
        self.woke = ("talk", time.ticks_add(now, -ago_ms), None)
        deaf = self.slept.get("muted") or self.slept.get("weak")
        if parts.microphone is not None and not deaf:
            self._listen(parts.microphone)

    def _sound(self):
        """(codec, cleaning, gain) as they were set when the glasses fell asleep: the settings take long to
        read."""
        return self.slept.get("sound") or ("dvi4", "off", 0)

    def _listen(self, microphone):
        microphone.gain_db = self._sound()[2]
        microphone.start()
        try:
            # Only now: until this is loaded the driver's own memory holds what comes.
            from glasses.early import EarlyCapture

            codec, cleaning, _ = self._sound()
            self.early = EarlyCapture(microphone, (codec, cleaning))
        except Exception:  # the voice is to find it as it was
            microphone.stop()
            raise

    def _is_stuck(self, name):
        return self.board.PARTS[name]["pin"] in self.stuck

    def stuck_buttons(self):
        """The names of those of them that are buttons."""
        return [name for name in self.parts.buttons if self._is_stuck(name)]

    def _plugged(self):
        from glasses import sleep

        usb = self.board.PARTS.get("usb")
        return usb is not None and sleep.is_down(usb["pin"], usb.get("active", 1), None)

    def _put_on(self):
        if not self.slept.get("worn") or self._is_stuck("worn"):
            return False
        from glasses import sleep

        worn = self.board.PARTS["worn"]
        return sleep.is_down(worn["pin"], worn.get("active", 1), worn.get("pull"))


_start = None


def start(began_ms=None):
    """The one Start of this program; its first line ran at ticks `began_ms`, else now."""
    global _start
    if _start is None:
        _start = Start(None, began_ms)
    return _start


def stay():
    """Somebody is at the prompt: the watchdog, which nothing stops, is to wait for 12 days."""
    from glasses.watchdog import RELEASED_MS

    machine.WDT(timeout=RELEASED_MS).feed()
