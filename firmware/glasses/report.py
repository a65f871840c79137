"""What the glasses say of themselves: counters, heap, and the status that hosts and the prompt are shown."""

import gc
import time

import machine

from glasses.presence import VERSION


def counters(glasses):
    """Every counter of the firmware by name."""
    counts = {}
    for part in (
        glasses.journal,
        glasses.saver,
        glasses.link,
        glasses.voice,
        glasses.earcons,
        glasses.bus,
        glasses.fingers,
        glasses.power,
        glasses.standby,
        glasses.doze,
        glasses.watchdog,
        glasses.listener,
    ):
        if part is None:
            continue
        counts.update(part.counters())
    if glasses.battery is not None:
        counts.update(glasses.battery.counters())
    return counts


def heap(glasses):
    """Heap bytes: at the start, now, the peak, and per coded frame (needs `probe_heap`)."""
    frames = glasses.voice.probed_frames
    return {
        "start": glasses.heap_start,
        "end": gc.mem_alloc(),
        "peak": max(glasses.heap_peak, gc.mem_alloc()),
        "bytes_per_frame": glasses.voice.probed_bytes / frames if frames else None,
    }


def status(glasses):
    """What the glasses are doing, as a dict of JSON values."""
    glasses.account()
    battery = {"battery_v": None, "battery_percent": None, "charging": False}
    if glasses.battery is not None:
        battery = glasses.battery.status()
    found = {
        "name": glasses.settings.name,
        "firmware": VERSION,
        "board": glasses.board.NAME,
        "boot": glasses.boot,
        "cause": glasses.start.cause,
        "safe": glasses.crashes.safe,
        "running": glasses.running,
        "up_s": time.ticks_diff(time.ticks_ms(), glasses.start.began_ms) // 1000,
        "state": glasses.power.state,
        "connected": glasses.link.connected,
        "mtu": glasses.link.mtu,
        "security": glasses.settings.security,
        "pairing": glasses.link.guard.window_open,
        "hosts": len(glasses.link.guard.bonds.hosts),
        "capturing": glasses.voice.capturing,
        "muted": glasses.voice.muted,
        "wakeword": None if glasses.listener is None else glasses.listener.status(),
        "level": glasses.voice.level,
        "worn": None if glasses.parts.worn is None else glasses.parts.worn.present,
        "usb": None if glasses.parts.usb is None else glasses.parts.usb.present,
        "parts": glasses.parts.names(),
        "recordings": len(glasses.journal.recordings),
        "journal_free": glasses.journal.free,
        "saved": glasses.journal.saved,
        "saved_bytes": glasses.spool.bytes,
        "states": glasses.power.seconds(),
        "mah": round(glasses.meter.mah(), 3),
        "counters": counters(glasses),
        "heap": heap(glasses),
    }
    found.update(battery)
    return found


def power(glasses):
    """What keeps the glasses awake, and what they have used: JSON values. `energy` is in mAh, by the table of
    currents in board.py, since power-on."""
    glasses.account()
    return {
        "cause": glasses.start.cause,
        "state": glasses.power.state,
        "locks": {owner: list(lock) for owner, lock in glasses.power.locks().items()},
        "sleep": "light" if glasses.doze.fits() else "deep",
        "mhz": machine.freq() // 1000000,
        "busy_ms": glasses.idle.busy_ms,
        "states": glasses.power.seconds(),
        "mah": round(glasses.meter.mah(), 3),
        "energy": glasses.meter.table(),
        "crashes": glasses.crashes.status(),
    }
