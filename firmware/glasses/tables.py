"""How the prompt shows what `glasses.status()` and its like give: lines of at most 79 characters.

Loaded to print one table, and forgotten again.
"""

_WIDTH = 79
_LABEL = 12
_LEVELS = ("debug", "info", "warning", "error")
_RESETS = ("usb or unknown", "power-on", "reset", "watchdog", "deep sleep", "soft reset")


def text(table):
    """The lines of a `glasses.Table`."""
    lines = []
    if table.get("problem"):
        lines += wrapped(table["problem"], 0)
    show = _SHOWN.get(table.about)
    if show is not None and set(table) != {"problem"}:
        show(table, lines)
    return "\n".join(lines)


def wrapped(text, indent, begin=""):
    """`text` after `begin` in lines that break at spaces; those that follow are indented."""
    lines = []
    line = begin
    empty = True  # of words
    for word in text.split(" "):
        if not empty and len(line) + 1 + len(word) > _WIDTH:
            lines.append(line)
            line = " " * indent
            empty = True
        line += word if empty else " " + word
        empty = False
        while len(line) > _WIDTH:  # a word that no line holds
            lines.append(line[:_WIDTH])
            line = " " * indent + line[_WIDTH:]
    lines.append(line)
    return lines


def _rows(lines, rows):
    for label, value in rows:
        if value:
            lines += wrapped(value, _LABEL, label + " " * (_LABEL - len(label)))


def _grid(lines, head, rows):
    """Columns as wide as they have to be; the last one is wrapped."""
    widths = [len(title) for title in head]
    for row in rows:
        widths = [max(width, len(cell)) for width, cell in zip(widths, row)]
    indent = sum(widths[:-1]) + 2 * (len(widths) - 1)
    for row in [head] + rows:
        begin = ""
        for width, cell in list(zip(widths, row))[:-1]:
            begin += cell + " " * (width - len(cell) + 2)
        for line in wrapped(row[-1], indent, begin):
            lines.append(line.rstrip())


def _duration(seconds):
    if seconds < 120:
        return ("%.1f s" if isinstance(seconds, float) else "%d s") % seconds
    if seconds < 7200:
        return "%.1f min" % (seconds / 60)
    return "%.1f h" % (seconds / 3600)


def _spent(states):
    return ", ".join(
        ["%s %s" % (state, _duration(states[state])) for state in sorted(states) if states[state]]
    )


def _kb(octets):
    return "%d KB" % ((octets + 1023) // 1024)


# --- a table each -----------------------------------------------------------------------------


def _microphone(table):
    if not table["parts"].get("mic"):
        return "none"
    if table["muted"]:
        return "muted"
    if table["capturing"]:
        return "on, it records"
    wakeword = table["wakeword"]
    if wakeword is None:
        return "off"
    return "on, it listens for " + wakeword["words"] if wakeword["on"] else "off: " + wakeword["why_not"]


def _status(table, lines):
    app = "runs" if table["running"] else ""
    if table["safe"]:
        app = "left out: safe mode"
    rows = [
        ("board", table["board"]),
        ("started by", "%s, %s ago" % (table["cause"], _duration(table["up_s"]))),
        ("app", app),
    ]
    if "state" not in table:
        _rows(lines, rows)
        _crashes(table["crashes"], lines)
        return
    rows[0] = (
        "glasses",
        "%s on board %s, firmware %s, start %d"
        % (table["name"], table["board"], table["firmware"], table["boot"]),
    )
    host = "connected, MTU %d" % table["mtu"] if table["connected"] else "none is connected"
    host += "; %d paired" % table["hosts"]
    if table["pairing"]:
        host += "; one more may pair now"
    if table["security"] == "open":
        host += "; security is open: whoever is in range can listen"
    microphone = _microphone(table)
    battery = "none"
    if table["battery_v"] is not None:
        battery = "%.2f V, %d %%" % (table["battery_v"], table["battery_percent"])
        battery += ", charging" if table["charging"] else ""
    elif table["parts"].get("battery"):
        battery = "cannot be read"
    if table["usb"] is not None:
        battery += "; USB power" if table["usb"] else "; no USB power"
    saved = "%d of them in flash (%s); " % (table["saved"], _kb(table["saved_bytes"]))
    saved += "room for %s of speech" % _duration(table["journal_free"] / 50)
    heap = table["heap"]
    counts = table["counters"]
    rows += [
        ("state", table["state"]),
        ("host", host),
        ("microphone", microphone),
        ("battery", battery),
        ("recordings", "%d wait, %s" % (table["recordings"], saved)),
        ("missing", ", ".join([name for name in sorted(table["parts"]) if not table["parts"][name]])),
        ("states", _spent(table["states"])),
        ("used", "%.2f mAh since power-on, modelled" % table["mah"]),
        ("heap", "%s now, %s at most" % (_kb(heap["end"]), _kb(heap["peak"]))),
        ("counters", ", ".join(["%s %s" % (name, counts[name]) for name in sorted(counts) if counts[name]])),
    ]
    _rows(lines, rows)


def _parts(table, lines):
    rows = []
    for name in sorted(table):
        part = table[name]
        pins = part["pins"]
        wires = [str(pins[what]) if what == "pin" else "%s %d" % (what, pins[what]) for what in sorted(pins)]
        rows.append((name, str(part["driver"]), ", ".join(wires), part["now"]))
    _grid(lines, ("part", "driver", "pins", "now"), rows)


def _power(table, lines):
    rows = [("started by", table["cause"])]
    if "state" in table:
        locks = table["locks"]
        held = ", ".join(["%s (%s)" % (owner, locks[owner][0]) for owner in sorted(locks)])
        spent = {}  # type: dict[str, float]
        for by in table["energy"].values():
            for consumer in by:
                spent[consumer] = spent.get(consumer, 0) + by[consumer]
        by = [
            "%s %.2f" % (consumer, spent[consumer]) for consumer in sorted(spent) if spent[consumer] >= 0.005
        ]
        rows += [
            ("state", "%s, %d MHz" % (table["state"], table["mhz"])),
            ("awake for", held or "nobody"),
            ("sleep", table["sleep"]),
            ("worked", _duration(table["busy_ms"] / 1000)),
            ("states", _spent(table["states"])),
            ("used", "%.2f mAh since power-on, modelled" % table["mah"]),
            ("by", ", ".join(by)),
        ]
    _rows(lines, rows)
    _crashes(table["crashes"], lines)


def _crashes(crashes, lines):
    if not crashes["total"]:
        _rows(lines, [("crashes", "none since power-on")])
        return
    row = "%d since power-on, %d in a row" % (crashes["total"], crashes["row"])
    _rows(lines, [("crashes", row + (": safe mode" if crashes["safe"] else ""))])
    for boot, cause, up_s, reason in crashes["log"]:
        how = _RESETS[cause] if cause < len(_RESETS) else "reset %d" % cause
        lines += wrapped("start %d, %s after %s: %s" % (boot, how, _duration(up_s), reason), 4, "  ")


def _journal(table, lines):
    waiting = table["waiting"]
    saved = "%d of them in flash (%s)" % (table["saved"], _kb(table["saved_bytes"]))
    counts = table["counters"]
    gone = [
        "%d %s" % (counts[name], words)
        for name, words in (
            ("journal.evicted_recordings", "recordings given up for room"),
            ("journal.lost_frames", "frames lost"),
            ("journal.damaged", "files damaged"),
        )
        if counts[name]
    ]
    _rows(
        lines,
        [
            (
                "waiting",
                "%d, %d of them in flash (%s)" % (waiting, table["saved"], _kb(table["saved_bytes"])),
            ),
            ("room", "%d frames, %s of speech" % (table["free"], _duration(table["free"] / 50))),
            ("lost", ", ".join(gone) or "nothing"),
        ],
    )
    if not table["recordings"]:
        return
    rows = []
    for number, kind, count, closed, saved, acked in table["recordings"]:
        length = "%.1f s" % (count / 50) if kind == "speech" else "%d" % count
        state = "%d of %d sent" % (acked, count) if acked else "waits" if closed else "is being made"
        rows.append((str(number), kind, length, "flash" if saved else "memory", state))
    lines.append("")
    _grid(lines, ("recording", "kind", "length", "in", "state"), rows)
    if waiting > len(rows):
        lines.append("and %d more" % (waiting - len(rows)))


def _log(table, lines):
    for number, ms, level, area, words in table["lines"]:
        begin = "%5d [%9.3f] %-7s %-8s " % (number, ms / 1000, _LEVELS[level], area)
        lines += wrapped(words, len(begin), begin)
    older = table["total"] - table["kept"]
    if older:
        lines.insert(0, "(%d older lines are gone)" % older)
    if table["crashes"]:
        lines.append("(%d crashes since power-on: glasses.power() lists them)" % table["crashes"])
    if not lines:
        lines.append("nothing of that level is in the log")


def _listen(table, lines):
    levels = table["dbfs"]
    if not levels:
        lines += wrapped("the driver has delivered nothing: Ctrl-D starts everything anew, then try again", 0)
        return
    recording = table["recording"]
    _rows(
        lines,
        [
            ("level", "%.1f to %.1f dBFS, peak %.1f" % (min(levels), max(levels), table["peak"])),
            ("heard", "%.1f s, %d overruns" % (table["seconds"], table["overruns"])),
            ("kept", "nothing" if recording is None else "recording %d, for the host" % recording),
        ],
    )
    if table["peak"] <= -90:
        lines += wrapped("nothing but zeros: look at the wire of `sd`, and at the microphone's power", 0)


_SHOWN = {
    "status": _status,
    "parts": _parts,
    "power": _power,
    "journal": _journal,
    "log": _log,
    "listen": _listen,
}
