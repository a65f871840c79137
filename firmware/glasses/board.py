"""Turns board data (``boards/<name>/board.py``, on the glasses ``/board.py``) into parts."""


class BoardError(ValueError):
    """The board's data cannot be built; the message names the key."""


def _microphone(data, light):
    from glasses.parts.microphone import I2SMicrophone

    return I2SMicrophone(light, data["port"], data["sck"], data["ws"], data["sd"], data.get("ibuf", 32768))


def _battery(data):
    from glasses.parts.battery import Battery

    return Battery(data["pin"], data["ratio"], data["empty_v"], data["full_v"])


class Parts:
    """The parts of a board. A part that the board lacks is None, or an empty dict for buttons.

    `problems` holds a line for each part that is declared but could not be started.
    """

    def __init__(self, board, wake):
        self.problems = []
        declared = board.PARTS
        self.light = self._build("light", declared, self._led)
        if "light" in declared and self.light is None and "mic" in declared:
            # Capturing in the dark is not to be had: promise of the light, however it failed.
            self.problems.append("mic: off, because the capture light does not work")
            self.microphone = None
        else:
            self.microphone = self._build("mic", declared, lambda data: _microphone(data, self.light))
        self.battery = self._build("battery", declared, _battery)
        self.buttons = {}
        for name in declared:
            if declared[name].get("driver") == "button":
                button = self._build(name, declared, lambda data: self._button(data, wake))
                if button is not None:
                    self.buttons[name] = button

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

    def _button(self, data, wake):
        from glasses.parts.button import Button

        return Button(data["pin"], data.get("active", 0), data.get("pull", "up"), wake)

    def names(self):
        """{part: is it there}"""
        found = {
            "light": self.light is not None,
            "mic": self.microphone is not None,
            "battery": self.battery is not None,
        }
        for name in self.buttons:
            found[name] = True
        return found
