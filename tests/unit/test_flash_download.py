"""Images from a real HTTP server, which breaks off, says wrong lengths, has other files and none."""

from __future__ import annotations

import hashlib
import http.server
import re
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import esp_images
import pytest

from lunette import boards, paths
from lunette.boards import model
from lunette.deploy import Progress
from lunette.errors import LunetteError
from lunette.flash import download, prepare

FILE = esp_images.image("esp32c3", 0x12000)
PAGE = "https://example.org/download/BOARD/"


class Shop(http.server.ThreadingHTTPServer):
    """Has one file. cuts: after so many bytes of an answer's body the connection ends, one entry an answer
    (None: it does not). `asked` has the Range of each request, `sent` the body bytes of all."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Counter)
        self.file: bytes | None = FILE
        self.tag: str | None = '"one"'
        self.ranges = True
        self.length: int | None = None  # that it says, if not the right one
        self.reset = False  # instead of an orderly end
        self.cuts: list[int | None] = []
        self.asked: list[str | None] = []
        self.sent = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/firmware/BOARD-v1.bin"


class Counter(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        shop = self.server
        assert isinstance(shop, Shop)
        wanted = self.headers["Range"]
        shop.asked.append(wanted)
        if shop.file is None:
            self.send_error(404)
            return
        body, first = shop.file, 0
        if wanted and shop.ranges and self.headers["If-Range"] == shop.tag:
            first = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])  # type: ignore[index]
            if first >= len(body):
                self.send_error(416)
                return
            body = body[first:]
        self.send_response(206 if first else 200)
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(shop.file) - 1}/{len(shop.file)}")
        if shop.tag:
            self.send_header("ETag", shop.tag)
        if shop.length != -1:
            self.send_header("Content-Length", str(shop.length or len(body)))
        self.end_headers()
        cut = shop.cuts.pop(0) if shop.cuts else None
        shop.sent += len(body[:cut])
        self.wfile.write(body[:cut])
        self.close_connection = True
        if shop.reset and cut is not None:
            self.wfile.flush()
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def shop() -> Iterator[Shop]:
    server = Shop()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


class Told(Progress):
    def __init__(self) -> None:
        self.total = self.done = 0

    def plan(self, total: int) -> None:
        self.total, self.done = total, 0

    def step(self, count: int) -> None:
        self.done += count


def fetch(shop: Shop, where: Path) -> bytes:
    told = Told()
    data = download.Download(shop.url, PAGE, where).fetch(told)
    if shop.length != -1:
        assert told.total == told.done == len(data)
    return data


def test_it_comes_whole(shop: Shop, tmp_path: Path) -> None:
    assert fetch(shop, tmp_path / "new") == FILE
    assert shop.asked == [None]


def test_a_cut_connection_is_resumed_by_itself(shop: Shop, tmp_path: Path) -> None:
    shop.cuts = [1000, 30000]
    assert fetch(shop, tmp_path) == FILE
    assert shop.asked == [None, "bytes=1000-", "bytes=31000-"]
    assert shop.sent == len(FILE)


def test_one_that_is_reset_loses_nothing_that_came(shop: Shop, tmp_path: Path) -> None:
    """A reset may take with it what was on its way, even all of it: then it is for the next command."""
    shop.cuts, shop.reset = [1000, 30000], True
    for _ in range(3):
        try:
            assert fetch(shop, tmp_path) == FILE
            break
        except LunetteError as error:
            assert "cannot download" in str(error) and "--image" in str(error)
    else:
        pytest.fail("not even without a reset")


def test_and_by_the_next_command(shop: Shop, tmp_path: Path) -> None:
    shop.cuts = [1000, 1000, 1000]
    with pytest.raises(LunetteError, match=rf"{shop.url} .*broke off.*goes on from there.*{PAGE}.*--image"):
        fetch(shop, tmp_path)
    assert fetch(shop, tmp_path) == FILE
    assert shop.asked[3] == "bytes=3000-" and shop.sent == len(FILE)


def test_a_server_that_sends_nothing_more_ends_it(shop: Shop, tmp_path: Path) -> None:
    shop.cuts = [1000, 0, 0, 0]
    with pytest.raises(LunetteError, match="broke off"):
        fetch(shop, tmp_path)
    assert len(shop.asked) == 2


def test_the_rest_of_another_file_is_never_taken(shop: Shop, tmp_path: Path) -> None:
    shop.cuts = [1000, 0]
    with pytest.raises(LunetteError):
        fetch(shop, tmp_path)
    shop.file, shop.tag = FILE[::-1], '"two"'
    assert fetch(shop, tmp_path) == FILE[::-1]


@pytest.mark.parametrize("tag", [None, 'W/"weak"'])
def test_without_a_mark_it_begins_again(shop: Shop, tmp_path: Path, tag: str | None) -> None:
    shop.tag, shop.cuts = tag, [1000]
    assert fetch(shop, tmp_path) == FILE
    assert shop.asked == [None, None]


def test_a_server_without_ranges(shop: Shop, tmp_path: Path) -> None:
    shop.ranges, shop.cuts = False, [1000]
    assert fetch(shop, tmp_path) == FILE


def test_a_server_without_a_length(shop: Shop, tmp_path: Path) -> None:
    shop.length = -1
    assert fetch(shop, tmp_path) == FILE


def test_more_is_promised_than_comes(shop: Shop, tmp_path: Path) -> None:
    shop.length = len(FILE) + 5
    with pytest.raises(LunetteError, match="broke off"):
        fetch(shop, tmp_path)


def test_a_part_that_is_all_there_already(shop: Shop, tmp_path: Path) -> None:
    shop.cuts = [1000, 0]
    with pytest.raises(LunetteError):
        fetch(shop, tmp_path)
    (tmp_path / "BOARD-v1.bin.part").write_bytes(FILE)
    assert fetch(shop, tmp_path) == FILE


def test_more_than_any_flash_holds(shop: Shop, tmp_path: Path) -> None:
    shop.length = 100 << 20
    with pytest.raises(LunetteError, match=r"100 MB are no image.*--image"):
        fetch(shop, tmp_path)


def test_it_is_not_there_any_more(shop: Shop, tmp_path: Path) -> None:
    shop.file = None
    with pytest.raises(LunetteError, match=rf"404 Not Found.*get the file from {PAGE}.*--image FILE"):
        fetch(shop, tmp_path)


def test_offline(tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}/x.bin"
        with pytest.raises(LunetteError, match=rf"{url} \(Connection refused\).*{PAGE}.*--image FILE"):
            download.Download(url, PAGE, tmp_path).fetch(Progress())


def test_a_server_that_hangs_up(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up() -> None:
            connection, _ = server.accept()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/x.bin"
        with pytest.raises(LunetteError, match=rf"cannot download {url} .*--image FILE"):
            download.Download(url, PAGE, tmp_path).fetch(Progress())
        thread.join()


def test_a_server_that_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_SILENCE_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/x.bin"
        with pytest.raises(LunetteError, match=rf"cannot download {url} \(.*--image FILE"):
            download.Download(url, PAGE, tmp_path).fetch(Progress())


def test_no_room(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "images").write_bytes(b"")
    with pytest.raises(LunetteError, match=r"cannot write .*make room"):
        download.Download(shop.url, PAGE, tmp_path / "images").fetch(Progress())


def test_what_is_kept_is_compared_each_time(tmp_path: Path) -> None:
    assert download.kept("x.bin", tmp_path) is None
    path = download.keep(FILE, "x.bin", tmp_path)
    assert download.kept("x.bin", tmp_path) == path and path.read_bytes() == FILE
    noted = (tmp_path / "x.bin.sha256").read_text().strip()
    assert noted == hashlib.sha256(FILE).hexdigest()
    path.write_bytes(FILE[:-1] + b"!")
    assert download.kept("x.bin", tmp_path) is None
    path.unlink()
    assert download.kept("x.bin", tmp_path) is None


# --- what a board needs ---------------------------------------------------------------------------------


@pytest.fixture
def address(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Boards' images are in the shop."""
    monkeypatch.setattr(model, "_DOWNLOADS", shop.url.partition("/firmware/")[0])


@pytest.mark.usefixtures("address")
def test_a_boards_image_is_fetched_once(shop: Shop, tmp_path: Path) -> None:
    wanted = boards.load("xiao_esp32c3").image
    assert wanted is not None
    for _ in range(2):
        plan = prepare("xiao_esp32c3", None, False, Told(), tmp_path)
        assert plan.image.data == FILE and plan.image.chip == plan.board.chip == "esp32c3"
        assert plan.image.source == str(tmp_path / wanted.name)
    assert len(shop.asked) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [wanted.name, wanted.name + ".sha256"]
    (tmp_path / wanted.name).write_bytes(FILE[:-1])
    assert prepare("xiao_esp32c3", None, False, Told(), tmp_path).image.data == FILE
    assert len(shop.asked) == 2


@pytest.mark.usefixtures("address")
@pytest.mark.parametrize("file", [b"<html>Sign in to this network</html>", FILE[:5000], FILE[:-40]])
def test_something_else_at_its_address(shop: Shop, tmp_path: Path, file: bytes) -> None:
    shop.file = file
    with pytest.raises(LunetteError, match=r"gives is not the image: .*/download/ESP32_GENERIC_C3/\)$"):
        prepare("xiao_esp32c3", None, False, Told(), tmp_path)
    assert list(tmp_path.iterdir()) == []
    shop.file = FILE
    prepare("xiao_esp32c3", None, False, Told(), tmp_path)


@pytest.mark.usefixtures("address")
def test_firmware_that_does_not_compile_is_known_first(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "glasses").mkdir()
    (tmp_path / "glasses" / "__init__.py").write_text("def f(:\n")
    (tmp_path / "main.py").write_text("import glasses\n")
    monkeypatch.setattr(paths, "FIRMWARE", tmp_path)
    with pytest.raises(LunetteError, match=r"glasses/__init__.py does not compile"):
        prepare("xiao_esp32c3", None, True, Told(), tmp_path / "images")
    assert shop.asked == []
    prepare("xiao_esp32c3", None, False, Told(), tmp_path / "images")
