"""A second light, for what the first cannot tell: that one is lit whenever the microphone is on, and so while
they listen for a wake word, too; this one while somebody is recorded."""


class Cue:
    """`led`: a Led. The bus keeps it."""

    def __init__(self, led, bus):
        self._led = led
        bus.now("listening", self._on_listening)
        bus.now("recording", self._on_recording)
        bus.now("recorded", self._on_recorded)

    def _on_listening(self, name, t, value):
        # True: the wake word was heard, or a host wants a hands-free recording; else nobody has spoken.
        if value:
            self._led.on()
        else:
            self._led.off()

    def _on_recording(self, name, t, value):
        self._led.on()

    def _on_recorded(self, name, t, value):
        self._led.off()
