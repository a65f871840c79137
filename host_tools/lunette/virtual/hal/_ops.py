"""Numbers of the requests that the HAL modules make of the chip model, and of its interrupts.

Shared by both sides of `_port`: the HAL (in MicroPython or CPython) and `lunette.virtual.chip`.
A request carries up to four 32-bit integers and one buffer; its answer is an integer and a buffer.
"""

RESYNC = 0xFFFF
IRQ_NEXT = 1  # a = id of the interrupt that was handled (0 = none yet); answer: the next one, 0 = none

PIN_INIT = 10  # a = pin, b = mode (-1 none), c = pull (-1 leave, 0 off), d = value (-1 none)
PIN_GET = 11  # a = pin -> level
PIN_SET = 12  # a = pin, b = level
PIN_IRQ = 13  # a = pin, b = trigger mask (0 = off)
PIN_HOLD = 14  # a = pin, b = 0/1
PIN_OUT = 15  # a = pin -> level of the output register

ADC_INIT = 20  # a = pin, b = attenuation
ADC_READ = 21  # a = pin, b = 0 raw 12 bit, 1 u16, 2 microvolts -> value

I2S_INIT = 30  # data = JSON {id, sck, ws, sd, mode, bits, format, rate, ibuf}
I2S_DEINIT = 31  # a = id
# Non-blocking transfers carry a token, a number that grows with every attempt.
I2S_READ = 32  # a = id, b = bytes, c = token -> 1 queued, 0 dropped silently, + 2 * last token completed
I2S_FETCH = 33  # a = id + 16 * chunk, b = token -> bytes of that chunk (of ANSWER_BYTES), none if unknown
I2S_WRITE = 34  # a = id, b = token, c = 1: more to come, data -> 1 queued, 0 dropped silently
I2S_BLOCK = 35  # a = id, b = bytes: blocking read -> the bytes, when they are there
I2S_IRQ = 36  # a = id, b = 0/1: non-blocking mode
I2S_PLAY = 37  # a = id, data: blocking write -> bytes, when they are in the DMA memory

TIMER_INIT = 40  # a = id, b = 0 once, 1 periodic, c = period in ms, d = and in us (c, d = -1: only look)
TIMER_DEINIT = 41  # a = id
TIMER_VALUE = 42  # a = id -> ms counted, or ticks left of a virtual timer

PWM_INIT = 45  # a = pin, b = frequency (-1: as it is), c = duty of 65536, d = 1: inverted -> frequency
PWM_DEINIT = 46  # a = pin
PWM_READ = 47  # a = pin, b = 0 frequency, 1 duty of 65536 -> as the hardware has it

WDT_INIT = 50  # a = timeout ms
WDT_FEED = 51

RTC_MEMORY_GET = 55  # -> bytes
RTC_MEMORY_SET = 56  # data
RTC_GET = 57  # -> "<II": seconds since 2000-01-01, microseconds
RTC_SET = 58  # a = seconds since 2000-01-01, b = microseconds

FREQ_GET = 60  # -> Hz
FREQ_SET = 61  # a = Hz
RESET_CAUSE = 62
WAKE_REASON = 63
UNIQUE_ID = 64  # -> 6 bytes
RESET = 65  # never answers
DEEPSLEEP = 66  # a = ms (-1: no timer); never answers
LIGHTSLEEP = 67  # a = ms (-1: no timer) -> answers after waking
WAKE_EXT0 = 68  # a = pin (-1 off, -2 keep), b = level (-1 keep), c = 2 light, 4 deep sleep, 6 both
WAKE_EXT1 = 69  # a = level (0 all low, 1 any high, -1 keep), data = JSON list of pins (none: keep)
WAKE_GPIO = 70  # a = level (-1 keep), data = JSON list of pins (none: keep)
WAKE_TOUCH = 71  # a = 0/1
GPIO_HOLD = 72  # a = 0/1
IDF_HEAP = 73  # -> "<4I" a region: size, free, largest block, least free
NVS = 74  # a = verb (NVS_ below), b = number, data = namespace NUL key NUL blob
NEOPIXEL = 75  # a = pin, b = bytes a pixel, data = GRB bytes
CHIP_NAME = 76  # -> bytes
SOFT_RESET = 77  # the program is about to exit
TEMPERATURE = 78  # -> degrees Celsius

NVS_OPEN = 0
NVS_COMMIT = 1
NVS_SET_I32 = 2  # b = value
NVS_GET_I32 = 3
NVS_SET_BLOB = 4
NVS_BLOB_LEN = 5  # b = room that the caller has
NVS_GET_BLOB = 6  # b = offset -> up to ANSWER_BYTES
NVS_ERASE = 7

BLE_ACTIVE = 80  # a = 0/1, -1 asks -> 0/1
BLE_CONFIG = 81  # data = JSON {name: value} sets; a = 1: data = name, answer JSON value
BLE_REGISTER = 82  # data = JSON services -> JSON handles
BLE_ADVERTISE = 83  # a = interval us (-1 stops), b = connectable, data = JSON {adv, resp} hex
BLE_READ = 84  # a = value handle -> bytes
BLE_WRITE = 85  # a = value handle, b = send_update, data
BLE_SET_BUFFER = 86  # a = value handle, b = length, c = append
BLE_NOTIFY = 87  # a = connection, b = value handle, c = 1: use the attribute's value, data
BLE_INDICATE = 88  # as BLE_NOTIFY
BLE_DISCONNECT = 89  # a = connection -> 0/1
BLE_PAIR = 90  # a = connection
BLE_MTU = 91  # a = connection: exchange the MTU
BLE_ANSWER = 92  # a = question, b = 1: data is a secret; else b = 0, c = number: what the handler returned
BLE_IRK = 93  # a = 0: data = our IRK, none: the stack's own; a = 1 -> 16 random bytes for one
BLE_PEER = 94  # data = a peer's secret, for its IRK -> 1, or 0 if it is not one

# Interrupt sources: e0 of an interrupt.
SRC_PIN = 1  # e1 = pin, e2 = trigger that matched
SRC_I2S = 2  # e1 = id, e2 = token of the transfer that completed
SRC_TIMER = 3  # e1 = id
SRC_BLE = 4  # e1 = event, e2, e3 = its numbers, payload = the rest (see chip/questions.py, bluetooth.py)
SRC_COUNT = 5

# How an answer says that the chip refused: index of the exception class.
OK = 0
E_OS = 1  # value = errno
E_VALUE = 2  # payload = message
E_RUNTIME = 3
E_TYPE = 4
E_NOTIMPL = 5
E_MEMORY = 6
E_INDEX = 7
E_ATTRIBUTE = 8

WORDS = 8  # 32-bit words in a request or answer header
ANSWER_BYTES = 4096  # longest payload of an answer
