/* The automatic gain in C, as firmware/glasses/dsp/gain.py has it. */
#include <stdint.h>

#define BLOCK 32
#define LIMIT (29204 << 14)

static int32_t magnitude(uint16_t raw) {
    int32_t sample = (int16_t)raw;
    return sample < 0 ? -sample : sample;
}

void gain_peaks(const uint16_t *pcm, int32_t top, int32_t blocks, uint32_t *out) {
    for (int32_t block = 1; block <= blocks; block++) {
        top = 0;
        for (int32_t i = 0; i < BLOCK; i++) {
            int32_t m = magnitude(*pcm++);
            top = m > top ? m : top;
        }
        out[block] = (uint32_t)top;
    }
}

static int32_t floor_div(int32_t a, int32_t b) {
    return a / b - (a % b < 0);
}

void gain_adapt(const uint32_t *tops, uint32_t *state) {
    uint32_t power = 0;
    for (int i = 1; i < 11; i++) {
        power += (tops[i] * tops[i]) >> 4;
    }
    if (power < 360) {
        return;
    }
    int32_t mean = (int32_t)state[0];
    if ((int32_t)power < mean >> 5) {
        state[0] -= state[0] >> 8;
        return;
    }
    if (state[1] < 128) {
        state[1]++;
    }
    mean += floor_div((int32_t)power - mean, (int32_t)state[1]);
    state[0] = (uint32_t)mean;
    if (state[1] < 10) {
        return;
    }
    int32_t root = 0;
    for (int32_t bit = 1 << 14; bit; bit >>= 1) {
        if ((root + bit) * (root + bit) <= mean) {
            root += bit;
        }
    }
    int32_t goal = (5565 << 14) / (root + 1);
    goal = goal > 518112 ? 518112 : goal < 4115 ? 4115 : goal;
    int32_t want = (int32_t)state[2];
    if (goal > 2 * want) {
        want += want >> 4;
    } else if (goal < want >> 1) {
        want -= want >> 4;
    } else if (state[1] >= 64) {
        if (goal > want + (want >> 3) + (want >> 4)) {
            want += want >> 7;
        } else if (goal < want - (want >> 3) - (want >> 5)) {
            want -= want >> 7;
        }
    }
    state[2] = (uint32_t)want;
}

int32_t gain_plan(uint32_t *tops, uint32_t *gains, int32_t want) {
    int32_t gain = (int32_t)gains[10];
    int32_t highest = 0;
    gains[0] = gains[10];
    for (int block = 0; block < 10; block++) {
        int32_t goal = want > gain ? gain + ((want - gain) >> 6) : want;
        int32_t top = (int32_t)(tops[block] > tops[block + 1] ? tops[block] : tops[block + 1]);
        if (top > 923 && goal > LIMIT / top) {
            goal = LIMIT / top;
        }
        int32_t louder = gain;
        gain += ((goal - gain) >> 4) * 16;
        louder = gain > louder ? gain : louder;
        gains[block + 1] = (uint32_t)gain;
        top = ((int32_t)tops[block] * louder + 8192) >> 14;
        highest = top > highest ? top : highest;
    }
    tops[0] = tops[10];
    return highest;
}

static uint16_t scaled(uint16_t sample, int32_t gain) {
    return (uint16_t)(((int16_t)sample * gain + 8192) >> 14);
}

void gain_apply(uint16_t *pcm, int32_t gain, const uint32_t *gains, uint16_t *late, int32_t turn) {
    const uint16_t *before = late + turn * BLOCK;
    uint16_t *after = late + (1 - turn) * BLOCK;
    for (int32_t i = 0; i < BLOCK; i++) {
        after[i] = pcm[320 - BLOCK + i];
    }
    for (int32_t i = 319; i >= 0; i--) {
        int32_t block = i / BLOCK;
        int32_t step = ((int32_t)gains[block + 1] - (int32_t)gains[block]) >> 4;
        gain = (int32_t)gains[block] + step * (i % BLOCK / 2 + 1);
        pcm[i] = scaled(i < BLOCK ? before[i] : pcm[i - BLOCK], gain);
    }
}
