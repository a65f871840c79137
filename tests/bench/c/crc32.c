/* CRC-32 (ISO-HDLC) in C, a nibble at a time as firmware/glasses/dsp/crc32.py has it. */
#include <stdint.h>

static const uint32_t TABLE[16] = {0x00000000, 0x1DB71064, 0x3B6E20C8, 0x26D930AC, 0x76DC4190, 0x6B6B51F4,
                                   0x4DB26158, 0x5005713C, 0xEDB88320, 0xF00F9344, 0xD6D6A3E8, 0xCB61B38C,
                                   0x9B64C2B0, 0x86D3D2D4, 0xA00AE278, 0xBDBDF21C};

void crc32_update(uint8_t *state, const uint8_t *buf, int32_t off, int32_t n) {
    uint32_t crc = ~(state[0] | state[1] << 8 | state[2] << 16 | (uint32_t)state[3] << 24);
    for (int32_t i = off; i < off + n; i++) {
        crc ^= buf[i];
        crc = crc >> 4 ^ TABLE[crc & 15];
        crc = crc >> 4 ^ TABLE[crc & 15];
    }
    crc = ~crc;
    for (int i = 0; i < 4; i++) {
        state[i] = (uint8_t)(crc >> 8 * i);
    }
}
