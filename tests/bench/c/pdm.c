/* Bits of a PDM microphone to samples in C, as firmware/glasses/dsp/pdm.py has it. */
#include <stdint.h>

#define BIAS 0x10000000
#define MIDDLE 536842320

static const int32_t ODD[8] = {5983, -1882, 997, -595, 349, -212, 95, -72}; /* from the middle outwards */

/* Of the 128, of which the outer half is given. */
static uint32_t tap(const uint16_t *taps, int32_t i) {
    return taps[i < 64 ? i : 127 - i];
}

void pdm_build(uint32_t *tables, const uint16_t *taps) {
    for (int32_t k = 0; k < 4; k++) {
        for (int32_t value = 0; value < 256; value++) {
            uint32_t sums[4] = {0, 0, 0, 0};
            for (int32_t bit = 0; bit < 8; bit++) {
                for (int32_t age = 0; age < 4 && value >> (7 - bit) & 1; age++) {
                    sums[age] += tap(taps, 96 - 32 * age + 8 * k + bit);
                }
            }
            tables[256 * k + value] = sums[0] + (sums[2] << 16);
            tables[256 * k + value + 1024] = sums[1] + (sums[3] << 16);
        }
    }
}

void pdm_first(int32_t byte, int32_t this, const uint8_t *raw, uint16_t *out, int32_t at, int32_t n,
               const uint32_t *tables, uint32_t *state) {
    (void)byte;
    (void)this;
    uint32_t now = state[0], next = state[1];
    for (int32_t i = 0; i < n; i += 4) {
        for (int32_t k = 0; k < 4; k++) {
            uint32_t octet = raw[i + 3 - k] + 256 * (uint32_t)k;
            now += tables[octet];
            next += tables[octet + 1024];
        }
        out[at++] = (uint16_t)now;
        uint32_t later = now >> 16;
        now = next;
        next = later;
    }
    state[0] = now;
    state[1] = next;
}

int32_t pdm_second(uint16_t *middle, int32_t total, uint16_t *pcm, int32_t n, uint32_t *state, int32_t up) {
    int32_t last = (int32_t)state[2] - BIAS;
    int32_t clipped = 0;
    for (int32_t at = 0; at < n; at += 2) {
        const uint16_t *x = middle + at + 15;
        total = 9471 * x[0];
        for (int32_t k = 0; k < 8; k++) {
            total += ODD[k] * (x[2 * k + 1] + x[-2 * k - 1]);
        }
        int32_t wide = (total - last - MIDDLE + (1 << (14 - up) >> 1)) >> (14 - up);
        last = total >> 3;
        int32_t sample = wide > 32767 ? 32767 : wide < -32768 ? -32768 : wide;
        clipped += sample != wide;
        pcm[at >> 1] = (uint16_t)sample;
    }
    state[2] = (uint32_t)(last + BIAS);
    for (int32_t i = 0; i < 30; i++) {
        middle[i] = middle[n + i];
    }
    return clipped;
}
