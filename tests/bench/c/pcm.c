/* Copying and levels in C, as firmware/glasses/dsp/pcm.py has them. */
#include <stdint.h>

/* Byte by byte, upwards: within one buffer the kernel may copy towards lower offsets. */
void pcm_copy(uint8_t *dst, int32_t dst_off, const uint8_t *src, int32_t src_off, int32_t n) {
    for (int32_t i = 0; i < n; i++) {
        dst[dst_off + i] = src[src_off + i];
    }
}

int32_t pcm_peak(const uint16_t *pcm, int32_t n) {
    int32_t top = 0;
    for (int32_t i = 0; i < n; i++) {
        int32_t sample = (int16_t)pcm[i];
        sample = sample < 0 ? -sample : sample;
        top = sample > top ? sample : top;
    }
    return top > 32767 ? 32767 : top;
}

int32_t pcm_mean_square(const uint16_t *pcm, int32_t n) {
    int64_t sum = 0;
    for (int32_t i = 0; i < n; i++) {
        int32_t sample = (int16_t)pcm[i];
        sum += (int64_t)sample * sample;
    }
    int64_t mean = n > 0 ? sum / n : 0;
    return mean > 0x3FFFFFFF ? 0x3FFFFFFF : (int32_t)mean;
}

int32_t pcm__root(int32_t x) {
    int32_t root = 0;
    for (int32_t bit = 1 << 28; bit; bit >>= 2) {
        if (x >= root + bit) {
            x -= root + bit;
            root = (root >> 1) + bit;
        } else {
            root >>= 1;
        }
    }
    return root;
}
