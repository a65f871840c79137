/* 16 kHz to 8 kHz in C, as firmware/glasses/dsp/halfband.py has it. */
#include <stdint.h>

static const int32_t TAPS[8] = {-18, 59, -135, 261, -468, 828, -1602, 5171};

void halfband_decimate(const uint16_t *src, uint16_t *dst, int32_t n) {
    for (int32_t i = 0; i < n; i++) {
        const int16_t *x = (const int16_t *)src + 2 * i;
        int32_t total = x[15] * 8192 + 8192;
        for (int k = 0; k < 8; k++) {
            total += TAPS[k] * (x[2 * k] + x[30 - 2 * k]);
        }
        total >>= 14;
        dst[i] = (uint16_t)(total > 32767 ? 32767 : total < -32768 ? -32768 : total);
    }
}
