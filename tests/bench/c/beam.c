/* Two microphones as one in C, as firmware/glasses/dsp/beam.py has it. */
#include <stdint.h>
#include <string.h>

/* The sums that wait are 32 bits at an address of 16. */
static int32_t transposed(int32_t x, const int16_t *taps, int32_t *sums) {
    int32_t result = taps[0] * x + sums[0];
    for (int k = 1; k < 7; k++) {
        sums[k - 1] = taps[k] * x + sums[k];
    }
    sums[6] = taps[7] * x;
    return result;
}

void beam_combine(int32_t i, int32_t x, const uint16_t *near, const uint16_t *far, uint16_t *out, int32_t end,
                  uint16_t *state, const uint16_t *taps) {
    const int16_t *h = (const int16_t *)taps, *w = h + 8;
    int32_t sums[14];
    (void)x;
    memcpy(sums, state + 16, sizeof sums);
    for (; i < end; i++) {
        int32_t aligned = transposed((int16_t)far[i], h, sums) >> 12;
        state[i & 15] = near[i];
        int32_t voice = (int16_t)state[(i - taps[16]) & 15];
        int32_t result = voice - (transposed(voice - aligned, w, sums + 7) >> 12);
        out[i] = (uint16_t)(result > 32767 ? 32767 : result < -32768 ? -32768 : result);
    }
    memcpy(state + 16, sums, sizeof sums);
}

void beam_blend(uint16_t *taps, const uint16_t *old, const uint16_t *new, int32_t k) {
    for (int j = 0; j < 8; j++) {
        int32_t begin = (int16_t)old[j], end = (int16_t)new[j];
        taps[8 + j] = (uint16_t)((begin * 16 + (end - begin) * k) >> 4);
    }
}

void beam_survey(int32_t i, int32_t x, const uint16_t *pcm, int32_t n, uint32_t *seen) {
    int32_t low = 32767, high = -32768, moved = 0;
    (void)x;
    for (; i < n; i += 8) {
        int32_t sample = (int16_t)pcm[i], step = sample - (int16_t)pcm[i + 1];
        low = sample < low ? sample : low;
        high = sample > high ? sample : high;
        moved += step < 0 ? -step : step;
    }
    seen[0] = (uint32_t)(high - low);
    seen[1] = (uint32_t)moved;
}
