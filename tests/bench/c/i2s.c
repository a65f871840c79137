/* Samples of an I2S microphone in C, as firmware/glasses/dsp/i2s.py has it. */
#include <stdint.h>

int32_t i2s_pick(const uint32_t *raw, int32_t word, uint16_t *pcm, int32_t n, int32_t at, int32_t stereo,
                 int32_t up) {
    int32_t clipped = 0;
    (void)word;
    for (int32_t i = at; i < n << stereo; i += 1 << stereo) {
        int32_t wide = (int32_t)raw[i] >> (16 - up);
        if (wide > 32767) {
            wide = 32767;
            clipped++;
        } else if (wide < -32768) {
            wide = -32768;
            clipped++;
        }
        pcm[i >> stereo] = (uint16_t)wide;
    }
    return clipped;
}
