"""Work on a flash image that no interpreter has mounted (runs in MicroPython, for `flash.py`).

Arguments: the image, then one of ``format``, ``install MANIFEST`` (a JSON list of [name, computer's
file]), ``read NAME OUTPUT`` and ``list FOLDER``. Ends with 0, or prints one line and ends with 1.
"""

import json
import os
import sys

import vfs
from blockdev import Flash

_ROOT = "/flash-image"


def _make_folders(name):
    path = _ROOT
    for part in name.split("/")[:-1]:
        path += "/" + part
        try:
            os.mkdir(path)
        except OSError as error:
            if error.errno != 17:  # EEXIST
                raise


def _copy(source, target):
    chunk = bytearray(4096)
    with open(source, "rb") as src, open(target, "wb") as dst:
        while True:
            n = src.readinto(chunk)
            if not n:
                return
            dst.write(memoryview(chunk)[:n])


def main(image, action, *arguments):
    flash = Flash(image)
    if action == "format":
        vfs.VfsLfs2.mkfs(flash)
        return
    vfs.mount(vfs.VfsLfs2(flash), _ROOT)
    if action == "install":
        with open(arguments[0]) as file:
            manifest = json.load(file)
        for name, source in manifest:
            try:
                _make_folders(name)
                _copy(source, _ROOT + "/" + name)
            except OSError as error:
                raise OSError(error.errno, name) from None
    elif action == "read":
        _copy(_ROOT + "/" + arguments[0], arguments[1])
    elif action == "list":
        print(json.dumps(os.listdir(_ROOT + "/" + arguments[0])))
    else:
        raise ValueError(action)
    vfs.umount(_ROOT)


try:
    main(*sys.argv[1:])
except OSError as error:
    print(json.dumps([error.errno, str(error.args[1]) if len(error.args) > 1 else ""]))
    sys.exit(1)
