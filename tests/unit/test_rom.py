"""The simulated boot loader is as strict as a chip: what the real esptool does right is in the integration
tests, here is what nobody may do. Codes are those of esptool's documentation of the serial protocol."""

from __future__ import annotations

import struct
import zlib
from functools import reduce
from operator import xor

import pytest
import serial

from lunette.virtual.rom import CHIPS, Faults, Loader, NorFlash, Port, slip

SYNC = b"\x07\x07\x12\x20" + b"\x55" * 32


class Host:
    """Sends commands; `ok` is data, `no` the second status byte."""

    def __init__(self, chip: str = "esp32c3", flash: NorFlash | None = None):
        self.flash = flash or NorFlash(4 << 20, bytes(4 << 20))
        self.loader = Loader(CHIPS[chip], self.flash)

    def packets(
        self, op: int, data: bytes = b"", check: int | None = None, size: int | None = None
    ) -> list[bytes]:
        check = reduce(xor, data[16:], 0xEF) if check is None else check
        header = struct.pack("<BBHI", 0, op, len(data) if size is None else size, check)
        return slip.Decoder().feed(self.loader.feed(slip.encode(header + data)))

    def ok(self, op: int, data: bytes = b"", **options: int) -> bytes:
        (answer,) = self.packets(op, data, **options)
        assert answer[:2] == bytes((1, op)) and answer[-4:] == bytes(4), answer
        return answer[8:-4]

    def no(self, op: int, data: bytes = b"", **options: int) -> int:
        (answer,) = self.packets(op, data, **options)
        assert answer[:2] == bytes((1, op)) and answer[-4] == 1, answer
        return answer[-3]

    def attach(self) -> Host:
        self.ok(0x0D, bytes(8))
        return self

    def begin(self, size: int, block: int = 1024, at: int = 0, op: int = 0x02) -> bytes:
        words = [size, -(-size // block), block, at] + [0] * self.loader.chip.extended
        return struct.pack(f"<{len(words)}I", *words)

    def block(self, data: bytes, number: int) -> bytes:
        return struct.pack("<IIII", len(data), number, 0, 0) + data


def test_slip_stands_what_comes() -> None:
    decoder = slip.Decoder()
    packet = bytes(range(256))
    stream = slip.encode(packet)
    assert [done for byte in stream for done in decoder.feed(bytes((byte,)))] == [packet]
    assert decoder.feed(b"noise" + stream + stream) == [packet, packet]
    assert decoder.feed(b"\xc0\xdb\x00\xc0") == [] and decoder.feed(b"\xc0" + stream) == [packet]


def test_sync_is_answered_eight_times() -> None:
    host = Host()
    answers = host.packets(8, SYNC)
    assert len(answers) == 8 and all(struct.unpack_from("<I", answer, 4)[0] for answer in answers)
    assert host.no(8, b"no") == 5


def test_a_classic_chip_does_not_know_security_info() -> None:
    answers = Host("esp32").packets(0x14)
    assert len(answers) == 8 and {answer[8:10] for answer in answers} == {b"\x01\x05"}
    assert {answer[1] for answer in answers} == {0}  # whose command it was is not said
    assert struct.unpack_from("<I", Host("esp32s3").ok(0x14), 12)[0] == 9


def test_the_flash_is_not_there_before_it_is_attached() -> None:
    host = Host()
    for op, data in ((2, host.begin(1024)), (0x13, bytes(16)), (0x0E, struct.pack("<II", 0, 64))):
        assert host.no(op, data) == 6
    assert host.flash.erases == 0
    assert host.attach().ok(0x13, struct.pack("<IIII", 0, 4096, 0, 0)) == b"620f0b67a91f7f74151bc5be745b7110"


def test_nor_can_it_be_asked_who_it_is() -> None:
    """By the SPI controller: a command of 24 bits' answer."""
    host = Host()

    def jedec_id() -> int:
        for register, value in ((0x18, 1 << 31 | 1 << 28), (0x20, 7 << 28 | 0x9F), (0x28, 23), (0, 1 << 18)):
            host.ok(9, struct.pack("<IIII", 0x60002000 + register, value, 0xFFFFFFFF, 0))
        (answer,) = host.packets(0x0A, struct.pack("<I", 0x60002058))
        return int(struct.unpack_from("<I", answer, 4)[0])

    assert jedec_id() == 0xFFFFFF
    host.attach()
    assert jedec_id() == 0x1640EF  # 4 MB by Winbond


def test_beyond_the_size_that_it_was_told() -> None:
    host = Host().attach()
    assert host.no(2, host.begin(4096, at=2 << 20)) == 6
    host.ok(0x0B, struct.pack("<6I", 0, 4 << 20, 65536, 4096, 256, 0xFFFF))
    host.ok(2, host.begin(4096, at=2 << 20))
    assert host.no(2, host.begin(4096, at=4 << 20)) == 6
    assert host.flash.erases == 1


def test_a_fifth_word_is_for_those_that_know_it() -> None:
    for chip in CHIPS:
        host = Host(chip).attach()
        wrong = struct.pack("<5I" if chip == "esp32" else "<4I", 4096, 4, 1024, 0, *([0] * (chip == "esp32")))
        assert host.no(2, wrong) == 5
        host.ok(2, host.begin(4096))


def test_blocks_in_their_order_and_whole() -> None:
    host = Host().attach()
    data = bytes(range(256)) * 4
    assert host.no(3, host.block(data, 0)) == 6  # nothing has begun
    host.ok(2, host.begin(2048))
    assert host.no(3, host.block(data, 0), check=0) == 7
    assert host.no(3, host.block(data, 1)) == 6
    assert host.no(3, host.block(data, 0), size=5) == 5
    assert host.no(3, host.block(data[:-1], 0)) == 5
    assert host.no(3, host.block(data + b"!", 0)) == 5
    assert host.flash.programmed == 0
    host.ok(3, host.block(data, 0))
    host.ok(3, host.block(data, 0))  # once more: the answer was lost
    host.ok(3, host.block(data, 1))
    assert host.no(3, host.block(data, 2)) == 6
    assert host.flash.read(0, 4097) == data * 2 + b"\xff" * 2048 + b"\0"


def test_compressed_ones() -> None:
    host = Host().attach()
    data = bytes(range(256)) * 32
    packed = zlib.compress(data)
    begin = struct.pack("<5I", len(data), 1, 1024, 0, 0)
    host.ok(0x10, begin)
    assert host.no(3, host.block(packed, 0)) == 6  # another kind has begun
    host.ok(0x11, host.block(packed, 0))
    assert host.flash.read(0, len(data)) == data
    assert host.no(0x11, host.block(packed, 0)) == 6  # no second time
    for wrong, reason in ((b"\xff" * 9, 0x0B), (packed[:-1] + b"?", 0x0C), (zlib.compress(data * 2), 0xC9)):
        host.ok(0x10, begin)
        assert host.no(0x11, host.block(wrong, 0)) == reason


def test_a_program_that_is_not_known_is_silent() -> None:
    host = Host()
    host.ok(5, struct.pack("<4I", 4, 1, 1024, 0x40380000))
    host.ok(7, host.block(b"code", 0))
    assert host.packets(6, struct.pack("<II", 0, 0x40380000))
    assert not host.loader.stub and host.packets(8, SYNC) == []


def test_flash_that_only_clears_bits() -> None:
    memory = NorFlash(1 << 20, b"\x0f" * 8192, bad={5})
    memory.program(0, b"\xf3" * 4)
    assert memory.read(0, 5) == b"\x03" * 4 + b"\x0f"
    memory.erase(4095, 2)  # two sectors
    assert memory.read(0, 8192) == b"\xff" * 8192 and memory.erases == 2
    memory.program(5 * 4096 - 2, b"abcd")
    assert memory.read(5 * 4096 - 2, 4) == b"ab\xff\xff"
    for size in (3000, 1 << 25):
        with pytest.raises(ValueError, match="power of two"):
            NorFlash(size)


def test_who_talks_at_another_rate_is_not_understood() -> None:
    sync = slip.encode(struct.pack("<BBHI", 0, 8, len(SYNC), 0) + SYNC)
    faster = slip.encode(struct.pack("<BBHIII", 0, 0x0F, 8, 0, 230400, 0))
    with Port("esp32c3", NorFlash(1 << 20)) as port, serial.Serial(port.url, 115200, timeout=5) as line:
        line.write(faster)
        assert len(line.read(14)) == 14
        line.timeout = 0.1
        line.write(sync)
        assert line.read(1) == b""
        line.baudrate = 230400
        line.write(sync)
        assert len(line.read(14 * 8)) == 14 * 8
        port.reset(boot_held=True)
        line.reset_input_buffer()
        line.baudrate = 115200
        line.write(sync)
        assert len(line.read(14 * 8)) == 14 * 8


def test_without_a_boot_loader_in_flash_it_says_so() -> None:
    with Port("esp32", NorFlash(1 << 20), Faults()) as port, serial.Serial(port.url, timeout=5) as line:
        port.reset()
        assert b"invalid header: 0xffffffff" in line.read_until(b"0xffffffff\r\n")
