# Runs before main.py. After a press that woke the glasses the microphone is on from here. After three
# crashes in a row they run without main.py, which may be what crashes: safe mode.
from glasses import wake

_start = wake.start()
if _start.crashes is not None and _start.crashes.safe:
    import glasses

    glasses.run()
else:
    _start.expect_app()
