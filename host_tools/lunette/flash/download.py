"""Images from the network, kept in a folder: resumed where they stopped, and known again by their SHA-256."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from lunette import __version__
from lunette.deploy import Progress
from lunette.errors import LunetteError

_TRIES = 3  # connections, as long as each brings something
_SILENCE_S = 20.0
_PIECE = 64 * 1024
_LARGEST = 32 << 20  # no flash holds more


def folder() -> Path:
    """Where images are kept (``XDG_CACHE_HOME``, or ``~/.cache``)."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "lunette" / "images"


def kept(name: str, where: Path) -> Path | None:
    """The file of that name, if it is there and as it was when it came."""
    path = where / name
    try:
        noted = _digest_file(path).read_text().strip()
        if hashlib.sha256(path.read_bytes()).hexdigest() == noted:
            return path
    except OSError:
        pass
    return None


def keep(data: bytes, name: str, where: Path) -> Path:
    """Keep what has turned out to be right. Raises LunetteError."""
    path = where / name
    try:
        _digest_file(path).write_text(hashlib.sha256(data).hexdigest() + "\n")
        new = path.with_name(name + ".new")
        new.write_bytes(data)
        os.replace(new, path)
    except OSError as error:
        raise LunetteError(f"cannot write {path} ({error.strerror}): make room, and try again") from None
    return path


def _digest_file(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


class Download:
    """One file on its way: `NAME.part` has what has come of it, `NAME.part.json` of which file that is.

    `page` is where a person finds the file.
    """

    def __init__(self, url: str, page: str, where: Path):
        self._url = url
        self._page = page
        self._part = where / (url.rpartition("/")[2] + ".part")
        self._about = self._part.with_name(self._part.name + ".json")

    def fetch(self, progress: Progress) -> bytes:
        """All of it. Raises LunetteError; what has come stays, for the next time."""
        try:
            self._part.parent.mkdir(parents=True, exist_ok=True)
            return self._fetch(progress)
        except urllib.error.HTTPError as error:
            raise self._failed(f"{error.code} {error.reason}") from None
        except urllib.error.URLError as error:
            raise self._failed(str(getattr(error.reason, "strerror", None) or error.reason)) from None
        except http.client.HTTPException as error:
            raise self._failed(f"what comes is no HTTP, {type(error).__name__}") from None
        except (ConnectionError, TimeoutError) as error:
            raise self._failed(error.strerror or "no answer") from None
        except OSError as error:
            raise LunetteError(
                f"cannot write {self._part} ({error.strerror}): make room, and try again"
            ) from None

    def forget(self) -> None:
        """Of what was fetched, keep nothing."""
        for path in (self._part, self._about):
            path.unlink(missing_ok=True)

    def _fetch(self, progress: Progress) -> bytes:
        for _ in range(_TRIES):
            before = self._have()
            if self._once(progress):
                return self._part.read_bytes()
            if self._have() <= before:
                break
        raise self._failed("the connection broke off")

    def _have(self) -> int:
        return self._part.stat().st_size if self._part.exists() else 0

    def _once(self, progress: Progress) -> bool:
        """One connection; True if all is there after it."""
        have, mark = self._have(), self._noted().get("mark")
        headers = {"User-Agent": f"lunette/{__version__}"}
        if have and mark:
            # The rest, if it is still the same file; all of it otherwise.
            headers |= {"Range": f"bytes={have}-", "If-Range": mark}
        try:
            answer = urllib.request.urlopen(
                urllib.request.Request(self._url, headers=headers), timeout=_SILENCE_S
            )
        except urllib.error.HTTPError as error:
            if error.code == 416 and have:
                error.close()
                self.forget()
                return self._once(progress)
            raise
        with answer:
            resumed = answer.status == 206 and _first(answer.headers.get("Content-Range")) == have
            if answer.status == 206 and not resumed:
                self.forget()
                raise self._failed("it sends another part than was asked for")
            length = answer.headers.get("Content-Length")
            total = None if length is None else int(length) + (have if resumed else 0)
            if total is not None and total > _LARGEST:
                raise self._failed(f"{total >> 20} MB are no image")
            self._about.write_text(json.dumps({"mark": _mark(answer.headers)}))
            progress.plan(total or 0)
            if resumed:
                progress.step(have)
            got = self._store(answer, "ab" if resumed else "wb", progress)
        return total is None or got == total

    def _store(self, answer: Any, mode: str, progress: Progress) -> int:
        """What comes, until it ends in whichever way; returns the size of the part."""
        with self._part.open(mode) as file:
            # A connection that ends early is no error of reading; one that is reset, or silent, is.
            with contextlib.suppress(ConnectionError, TimeoutError, http.client.IncompleteRead):
                while piece := answer.read(_PIECE):
                    file.write(piece)
                    progress.step(len(piece))
                    if file.tell() > _LARGEST:
                        raise self._failed("it does not end")
            return file.tell()

    def _noted(self) -> dict[str, Any]:
        try:
            noted = json.loads(self._about.read_text())
        except (OSError, ValueError):
            return {}
        return noted if isinstance(noted, dict) else {}

    def _failed(self, why: str) -> LunetteError:
        again = (
            " (what has come is kept: the same command goes on from there)"
            if self._have() and self._noted().get("mark")
            else ""
        )
        return LunetteError(
            f"cannot download {self._url} ({why}){again}: try again, or get the file from {self._page} on "
            "any computer and give it with --image FILE"
        )


def _mark(headers: Any) -> str | None:
    """What tells this file from another one at the same address."""
    tag = headers.get("ETag")
    if tag and not tag.startswith("W/"):  # a weak one does not promise the same bytes
        return str(tag)
    changed = headers.get("Last-Modified")
    return str(changed) if changed else None


def _first(content_range: str | None) -> int | None:
    """The first byte of ``bytes 5-9/10``."""
    try:
        return int((content_range or "").removeprefix("bytes ").partition("-")[0])
    except ValueError:
        return None
