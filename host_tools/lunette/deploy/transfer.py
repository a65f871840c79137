"""Bringing a version onto the glasses, so that at every moment the old or the new one is whole and chosen."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from lunette.deploy import layout
from lunette.deploy.build import MANIFEST, Version, digest
from lunette.deploy.remote import File, Full, Remote
from lunette.errors import LunetteError

_SPARE_BLOCKS = 8  # folders, and what littlefs itself turns over


@dataclass
class Result:
    """What was done. `before`: the id of the version that `back` returns to, or None. `sent`, `copied` (on
    the glasses), `kept` and `removed` are files, `bytes` went over the cable; `warning`: what
    to know before they are started."""

    id: str
    before: str | None
    sent: int = 0
    copied: int = 0
    kept: int = 0
    removed: int = 0
    bytes: int = 0
    switched: bool = True
    warning: str | None = None


@dataclass(frozen=True)
class Present:
    """The folder that /boot.py names, and what the version in it says of itself; None where there is none."""

    folder: str | None
    listed: dict[str, Any] | None


class Progress:
    """Is told how far it is. This one keeps it to itself."""

    def say(self, what: str) -> None:
        """A new step begins."""

    def plan(self, total: int) -> None:
        """So many bytes are to be sent in this step."""

    def step(self, count: int) -> None:
        """So many of them are there."""


def present(remote: Remote) -> Present:
    """What the glasses start with now."""
    folder = layout.chosen(remote.text(layout.BOOT))
    return Present(folder, manifest(remote, folder) if folder else None)


def install(
    remote: Remote, version: Version, progress: Progress | None = None, now: Present | None = None
) -> Result:
    """Copy what differs into the folder that is not in use, verify all of it, then switch. `now` is what
    `present` said, for who has asked already.

    Raises LunetteError, and the prompt's errors; whatever happens, what was chosen before is whole and
    chosen, or the new version is.
    """
    progress = progress or Progress()
    progress.say("looking what is there")
    now = now or present(remote)
    active = now.folder
    have = remote.files(active)[0] if active else {}
    result = Result(version.id, _id(now.listed))
    if active and _is(have, version) and result.before == version.id and _app_is_its_own(remote):
        result.before = _id(manifest(remote, layout.other(active)))
        result.kept = len(version.files)
        result.switched = False
        return result
    target = layout.other(active)
    _fill(remote, version, target, active, have, result, progress)
    progress.say("verifying")
    there = remote.files(target)[0]
    for path, want in version.digests.items():
        if _digest(there, path) != want:
            raise LunetteError(
                f"{path} is not there as it was sent; what runs is as it was: try again, and if it happens "
                "again use another cable, or `lunette doctor --only files`"
            )
    remote.put(f"{target}/{MANIFEST}", version.manifest)
    progress.say("switching over")
    _take_over(remote, active)
    remote.put(layout.BOOT, layout.boot(target))  # from here on it is the new one that runs
    result.bytes = remote.written
    return result


def back(remote: Remote) -> Result:
    """Switch to the version before. Raises LunetteError if there is none that is whole."""
    now = present(remote)
    active = now.folder
    target = layout.other(active)
    listed = manifest(remote, target) if active else None
    if active is None or listed is None:
        raise LunetteError("there is no whole version before it: `lunette deploy` puts the present one on")
    there = remote.files(target)[0]
    for path, want in listed["files"].items():
        if _digest(there, path) != want:
            raise LunetteError(
                f"{path} of the version before is damaged: `lunette deploy` puts the present one on"
            )
    remote.put(layout.BOOT, layout.boot(target))
    return Result(listed["id"], _id(now.listed), kept=len(there), bytes=remote.written)


def manifest(remote: Remote, folder: str) -> dict[str, Any] | None:
    """What the version in that folder says of itself; None if it is not whole."""
    text = remote.text(f"{folder}/{MANIFEST}")
    try:
        listed = json.loads(text or b"")
        return listed if isinstance(listed["files"], dict) and isinstance(listed["id"], str) else None
    except (ValueError, KeyError, TypeError):
        return None


def _id(listed: dict[str, Any] | None) -> str | None:
    return None if listed is None else listed["id"]


def _digest(there: dict[str, File], path: str) -> str | None:
    file = there.get(path)
    return None if file is None else file.digest


def _is(there: dict[str, File], version: Version) -> bool:
    return {path: file.digest for path, file in there.items() if path != MANIFEST} == version.digests


def _app_is_its_own(remote: Remote) -> bool:
    text = remote.text(layout.MAIN)
    return text is not None and layout.ours(text)


# --- the folder -------------------------------------------------------------------------------------


def _fill(
    remote: Remote,
    version: Version,
    target: str,
    active: str | None,
    have: dict[str, File],
    result: Result,
    progress: Progress,
) -> None:
    there, folders = remote.files(target)
    if MANIFEST in there:
        remote.remove(f"{target}/{MANIFEST}")  # first: it is not whole any more
        del there[MANIFEST]
    digests = version.digests
    keep = {path for path, want in digests.items() if _digest(there, path) == want}
    copy = {path for path, want in digests.items() if path not in keep and _digest(have, path) == want}
    send = [path for path in digests if path not in keep and path not in copy]
    for path in there:
        if path not in digests:
            remote.remove(f"{target}/{path}")
            result.removed += 1
    needed = {target, *(f"{target}/{path}".rpartition("/")[0] for path in digests)}
    for path in folders:
        if f"{target}/{path}" not in needed:
            remote.remove(f"{target}/{path}")
    _make_room(remote, version, target, there, [*copy, *send])
    for folder in sorted(needed):
        remote.folder(folder)
    if copy:
        progress.say("copying what has not changed")
    for path in sorted(copy):
        remote.copy(f"{active}/{path}", f"{target}/{path}", have[path])
    progress.say("sending")
    progress.plan(sum(len(version.files[path]) for path in send))
    for path in send:
        remote.put(f"{target}/{path}", version.files[path], progress.step)
    result.kept, result.copied, result.sent = len(keep), len(copy), len(send)


def _make_room(
    remote: Remote, version: Version, target: str, there: dict[str, File], writes: list[str]
) -> None:
    """Have room for what will be written, or say how much is missing before any of it is."""
    block, free = remote.free()

    def blocks(size: int) -> int:
        return -(-size // block)

    need = sum(blocks(len(version.files[path])) for path in writes) + _SPARE_BLOCKS
    if free < need:
        # Nothing runs from this folder: what will be replaced may go first.
        for path in writes:
            if path in there:
                remote.remove(f"{target}/{path}")
        free = remote.free()[1]
    if free < need:
        raise Full(
            f"the glasses' flash is full: {need * block // 1024} KB are needed, {free * block // 1024} KB "
            "are free, and what runs on them is as it was. Fetch waiting recordings (`lunette pull`), remove "
            "files you do not need (`mpremote ls`, `mpremote rm`), then try again"
        )


# --- /main.py and /boot.py ----------------------------------------------------------------------------


def _take_over(remote: Remote, active: str | None) -> None:
    """Have /main.py run the app of the version that boot.py names; and, until it names the new one, what ran
    before."""
    boot, main = remote.text(layout.BOOT), remote.text(layout.MAIN)
    if boot is not None and active is None:
        _keep(remote, layout.BOOT)
    if main is None:
        if active is None:
            empty = next(layout.kept_names(layout.MAIN))
            remote.put(empty, b"")
            remote.put(layout.MAIN, layout.main(active, empty))
        else:
            remote.put(layout.MAIN, layout.main(active, _keep(remote, layout.MAIN)))
    elif not layout.ours(main):
        remote.put(layout.MAIN, layout.main(active, _keep(remote, layout.MAIN)))
    elif main != layout.main() and not _speaks_of(main, active):
        remote.put(layout.MAIN, layout.main())


def _speaks_of(main: bytes, active: str | None) -> bool:
    """Whether that /main.py runs an app of before as long as `active` is chosen."""
    return any(main == layout.main(active, name) for name in layout.kept_names(layout.MAIN))


def _keep(remote: Remote, path: str) -> str:
    """Copy somebody else's file aside, unless it has been; returns the copy's name."""
    files = remote.root()
    own = files.get(path, File(0, digest(b"")))
    for name in layout.kept_names(path):
        if name not in files:
            if path in files:
                remote.copy(path, name, own)
            else:
                remote.put(name, b"")
            return name
        if files[name].digest == own.digest:
            return name
    raise LunetteError(
        f"too many files like {name} are there: remove old ones (`mpremote rm`), then try again"
    )
