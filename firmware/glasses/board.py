"""Turns board data (``boards/<name>/board.py``, on the glasses ``/board.py``) into parts.

It runs first of all after a wake-up by the button, so drivers are imported only when they are needed.
"""


class BoardError(ValueError):
    """The board's data cannot be built; the message names the key."""


def _microphone(data, light):
    if data.get("driver") == "pdm_microphone":
        return _pdm_microphone(data, light)
    from glasses.parts.i2s_microphone import I2SMicrophone

    channels = data.get("channels", 1)
    return I2SMicrophone(
        light,
        data["port"],
        data["sck"],
        data["ws"],
        data["sd"],
        data.get("ibuf", 32768),
        channels,
        data.get("gain_db", 0),
        data["positions"] if channels == 2 else data.get("positions"),
        data.get("mouth"),
    )


def _pdm_microphone(data, light):
    from glasses.parts.pdm_microphone import PdmMicrophone

    return PdmMicrophone(
        light,
        data["port"],
        data["clock"],
        data["data"],
        data["ws"],
        data.get("ibuf", 32768),
        data.get("gain_db", 0),
    )


def _battery(data):
    from glasses.parts.battery import Battery

    return Battery(data["pin"], data["ratio"], data.get("offset_mv", 0))


def _sense(data):
    from glasses.parts.sense import Sense

    return Sense(data["pin"], data.get("active", 1), data.get("pull"))


def _charger(data):
    from glasses.parts.charger import Charger

    return Charger(data["pin"], data.get("active", 0))


def _speaker(data):
    from glasses.parts.speaker import Speaker

    return Speaker(
        data["port"], data["sck"], data["ws"], data["sd"], data.get("level_db", -20), data.get("enable")
    )


def _buzzer(data):
    from glasses.parts.buzzer import Buzzer

    return Buzzer(data["pin"], data.get("level", 20))


class Edges:
    """Where buttons tell that edges wait, from before there is somebody to listen."""

    def __init__(self):
        self.listener = None

    def set(self):
        if self.listener is not None:
            self.listener.set()


class Parts:
    """The parts of a board. A part that the board lacks is None, or an empty dict for buttons.

    `problems` holds a line for each part that is declared but could not be started. `make_first` makes what
    a press needs, `make_rest` everything.
    """

    def __init__(self, board):
        self.problems = []
        self.edges = Edges()
        self.light = None
        self.microphone = None
        self.battery = None
        self.usb = None
        self.charger = None
        self.worn = None
        self.cue = None
        self.speaker = None
        self.buzzer = None
        self.buttons = {}
        self._declared = board.PARTS
        self._first = False
        self._rest = False

    @property
    def plugged(self):
        """USB gives power."""
        return self.usb is not None and self.usb.present

    def make_first(self):
        """The buttons, the light and the microphone."""
        if self._first:
            return
        self._first = True
        declared = self._declared
        for name in declared:
            if declared[name].get("driver") == "button":
                button = self._build(name, declared, self._button)
                if button is not None:
                    self.buttons[name] = button
        self.light = self._build("light", declared, self._led)
        if "light" in declared and self.light is None and "mic" in declared:
            # Capturing in the dark is not to be had: promise of the light, however it failed.
            self.problems.append("mic: off, because the capture light does not work")
        else:
            self.microphone = self._build("mic", declared, lambda data: _microphone(data, self.light))

    def make_rest(self):
        self.make_first()
        if self._rest:
            return
        self._rest = True
        self.battery = self._build("battery", self._declared, _battery)
        self.usb = self._build("usb", self._declared, _sense)
        self.charger = self._build("charger", self._declared, _charger)
        self.worn = self._build("worn", self._declared, _sense)
        self.cue = self._build("cue", self._declared, self._led)
        self.speaker = self._build("speaker", self._declared, _speaker)
        self.buzzer = self._build("buzzer", self._declared, _buzzer)

    def _build(self, name, declared, make):
        data = declared.get(name)
        if data is None:
            return None
        try:
            return make(data)
        except KeyError as error:
            raise BoardError("part %s lacks %s" % (name, error.args[0])) from None
        except (OSError, ValueError, ImportError) as error:
            self.problems.append("%s: %s" % (name, error))
            return None

    def _led(self, data):
        from glasses.parts.led import Led

        return Led(data["pin"], data.get("active", 1))

    def _button(self, data):
        from glasses.parts.button import Button

        return Button(data["pin"], data.get("active", 0), data.get("pull", "up"), self.edges)

    def names(self):
        """{part: is it there}"""
        found = {
            "light": self.light is not None,
            "mic": self.microphone is not None,
            "battery": self.battery is not None,
        }
        rest = (
            ("usb", self.usb),
            ("charger", self.charger),
            ("worn", self.worn),
            ("cue", self.cue),
            ("speaker", self.speaker),
            ("buzzer", self.buzzer),
        )
        for name, part in rest:
            if part is not None:
                found[name] = True
        for name in self.buttons:
            found[name] = True
        return found
