# Sent to the prompt by `remote.py`, and run there: what deploying needs on the glasses. Plain MicroPython 1.23.
# ruff: noqa
import binascii
import gc
import hashlib
import os

_buf = bytearray(1024)
_view = memoryview(_buf)
_file = None
_timer = None
_LONELY_MS = 120000


def alive():
    # A cable that is pulled leaves the glasses at their prompt, deaf. Who hears nothing for so long restarts.
    global _timer
    try:
        import machine

        if _timer is None:
            _timer = machine.Timer(0)
        _timer.init(mode=machine.Timer.ONE_SHOT, period=_LONELY_MS, callback=lambda t: machine.reset())
    except (ImportError, AttributeError, ValueError, OSError):
        pass


def done():
    global _timer
    if _timer is not None:
        _timer.deinit()
        _timer = None


def is_folder(path):
    return os.stat(path)[0] & 0x4000


def exists(path):
    try:
        os.stat(path)
        return True
    except OSError:
        return False


def pieces(path):
    # Views of a buffer that is used again.
    with open(path, "rb") as f:
        while True:
            n = f.readinto(_buf)
            if not n:
                break
            yield _view[:n]


def sha(path):
    h = hashlib.sha256()
    for piece in pieces(path):
        h.update(piece)
    return binascii.hexlify(h.digest()).decode()[:32]


def walk(top, sub=""):
    # Prints a line for each file below `top`: size, digest, path; folders, deepest last, with "-".
    for name in sorted(os.listdir(top + sub)):
        path = sub + "/" + name
        if is_folder(top + path):
            walk(top, path)
            print("-", "-", path[1:])
        else:
            print(os.stat(top + path)[6], sha(top + path), path[1:])
    gc.collect()
    alive()


def walk_root():
    for name in sorted(os.listdir("/")):
        if name.startswith("boot.py") or name.startswith("main.py"):
            print(os.stat("/" + name)[6], sha("/" + name), name)


def text(path):
    try:
        with open(path, "rb") as f:
            return binascii.b2a_base64(f.read(8192)).decode().strip()
    except OSError:
        return None


def free():
    s = os.statvfs("/")
    # littlefs may count more blocks than there are, as it shares some; then nothing is free.
    return s[0], s[3] if s[3] <= s[2] else 0


def folder(path):
    at = ""
    for part in path.strip("/").split("/"):
        at += "/" + part
        if not exists(at):
            os.mkdir(at)


def begin(path):
    global _file
    if _file is not None:
        _file.close()
    _file = open(path + ".new", "wb")


def more(data):
    _file.write(binascii.a2b_base64(data))


def end(path, digest):
    global _file
    _file.close()
    _file = None
    if sha(path + ".new") != digest:
        raise ValueError("damaged " + path)
    os.rename(path + ".new", path)


def put(path, data, digest):
    begin(path)
    more(data)
    end(path, digest)


def copy(source, path, digest):
    begin(path)
    for piece in pieces(source):
        _file.write(piece)
    end(path, digest)


def drop(path):
    (os.rmdir if is_folder(path) else os.remove)(path)
