/* Mu-law in C, as firmware/glasses/dsp/mulaw.py has it. */
#include <stdint.h>

int32_t mulaw_encode(const uint16_t *pcm, int32_t pcm_off, uint8_t *out, int32_t out_off, int32_t n) {
    for (int32_t i = 0; i < n; i++) {
        int32_t sample = (int16_t)pcm[pcm_off + i] >> 2;
        int32_t sign = sample < 0 ? 0x80 : 0;
        int32_t magnitude = (sign ? -sample : sample) + 33;
        if (magnitude > 8191) {
            magnitude = 8191;
        }
        int32_t segment = 0;
        while (magnitude >> (segment + 6)) {
            segment++;
        }
        out[out_off + i] = (uint8_t)~(sign | segment << 4 | (magnitude >> (segment + 1) & 15));
    }
    return n;
}

int32_t mulaw_decode(const uint8_t *codes, int32_t off, int32_t n, uint16_t *pcm, int32_t pcm_off) {
    for (int32_t i = 0; i < n; i++) {
        int32_t code = ~codes[off + i];
        int32_t magnitude = ((2 * (code & 15) + 33) << (code >> 4 & 7)) - 33;
        pcm[pcm_off + i] = (uint16_t)(4 * (code & 0x80 ? -magnitude : magnitude));
    }
    return n;
}
