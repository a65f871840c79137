/* The high-pass in C, as firmware/glasses/dsp/highpass.py has it. */
#include <stdint.h>

#define BIAS 0x20000000

void highpass_start(const uint16_t *pcm, uint32_t *state) {
    state[0] = BIAS;
    state[1] = BIAS - (((uint32_t)(int16_t)pcm[0] + 32768) << 9);
}

void highpass_run(uint16_t *pcm, int32_t y, int32_t n, uint32_t *state) {
    int32_t a = (int32_t)state[0] - BIAS;
    int32_t b = (int32_t)state[1] - BIAS;
    (void)y;
    for (int32_t i = 0; i < n; i += 2) {
        for (int32_t k = i; k < i + 2; k++) {
            int32_t out = (int16_t)pcm[k] + 32768 + ((23 * a + b) >> 9);
            a -= out;
            pcm[k] = (uint16_t)(out > 32767 ? 32767 : out < -32768 ? -32768 : out);
        }
        b += a;
    }
    state[0] = (uint32_t)(a + BIAS);
    state[1] = (uint32_t)(b + BIAS);
}
