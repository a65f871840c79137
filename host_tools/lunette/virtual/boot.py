"""What the chip does before the user's first line: pins, flash, /boot.py, /main.py (runs in MicroPython).

The interpreter gets everything from its environment, then forgets it:

LUNETTE_FLASH     image file that is mounted at /
LUNETTE_HAL       folder of the modules that stand in for the chip's drivers
LUNETTE_FDS       "request,doorbell": descriptors for `_port.open`; empty runs without those modules
LUNETTE_RUN_MAIN  "1" runs /main.py after /boot.py
LUNETTE_BREAK     "1" when Ctrl-C was typed before the interpreter was there: /main.py does not run
LUNETTE_RAW       written to the console as the last thing, so that what follows can be told apart
"""


def _boot():
    import micropython

    # No Ctrl-C until the file system is there: it would leave a prompt without one.
    micropython.kbd_intr(-1)
    import os

    os.chdir("/")  # tells the supervisor that this was reached; until now Ctrl-C was on
    import builtins
    import gc
    import io
    import sys

    import vfs

    names = ("FLASH", "HAL", "FDS", "RUN_MAIN", "BREAK", "RAW")
    config = {name: os.getenv("LUNETTE_" + name) for name in names}
    for name in names:
        os.unsetenv("LUNETTE_" + name)

    this_file = __file__
    main = globals()
    for name in list(main):
        if name != "__name__":
            del main[name]
    sys.argv[:] = []

    sys.path[:] = [this_file.rsplit("/", 1)[0]]
    from blockdev import Flash

    del sys.modules["blockdev"]

    if config["FDS"]:
        # asyncio first: its queue is C on the built-in clock, so its Python part needs that clock too.
        sys.path[:] = [".frozen"]
        import asyncio  # noqa: F401

        sys.path[:] = [config["HAL"]]
        # The rest before anything imports the built-in ones: what is in sys.modules wins.
        present = os.listdir(config["HAL"])
        import _port

        request, bell = config["FDS"].split(",")
        _port.open(int(request), int(bell))
        for name in ("time", "machine", "bluetooth", "esp32", "neopixel"):
            if name + ".py" in present:
                __import__(name)

    flash = Flash(config["FLASH"])
    vfs.umount("/")  # the computer's files
    try:
        vfs.mount(vfs.VfsLfs2(flash), "/")
        os.chdir("/")
    except OSError:
        print("The flash holds no file system: the image is empty or damaged.")
    sys.path[:] = ["", ".frozen", "/lib"]
    # From here on the interpreter stays for the prompt. "-i" would also keep it after SystemExit, and
    # after a failure above, with the computer's files in reach.
    os.putenv("MICROPYINSPECT", "1")

    def soft_reset():
        # The chip's own sweeps its heap, which closes the files that a program left open.
        main.clear()
        gc.collect()

    sys.atexit(soft_reset)

    def report(error):
        try:
            text = io.StringIO()
            sys.print_exception(error, text)
            own = '  File "' + this_file + '"'
            for line in text.getvalue().split("\n")[:-1]:
                if not line.startswith(own):
                    print(line)
        except MemoryError:
            sys.print_exception(error)

    def run(name):
        """Run a file in `__main__` as the chip does: "done", "failed", or "reset" if it asked for that."""
        try:
            os.stat(name)
        except OSError:
            return "done"
        main["__file__"] = name
        try:
            try:
                micropython.kbd_intr(3)
                builtins.execfile(name, main)
            finally:
                micropython.kbd_intr(-1)
        except SystemExit:
            return "reset"
        except BaseException as error:  # KeyboardInterrupt too: both end at the prompt
            report(error)
            return "failed"
        return "done"

    if config["BREAK"]:
        report(KeyboardInterrupt())
    ended = run("boot.py")  # one that fails ends at the prompt, as on the chip
    if ended == "done" and config["RUN_MAIN"] == "1" and not config["BREAK"]:
        ended = run("main.py")
    again = ended == "reset"

    while True:
        try:
            micropython.kbd_intr(-1)
            break
        except KeyboardInterrupt:  # typed while the last file was ending
            pass
    if again:
        os.unsetenv("MICROPYINSPECT")
        raise SystemExit(0)
    if config["RAW"]:
        sys.stdout.write(config["RAW"])


_boot()
