/* Noise suppression in C, as firmware/glasses/dsp/suppress.py has it. */
#include <math.h>
#include <stdint.h>

#define BANDS 24
#define SPEECH 425

static const uint8_t WIDTHS[BANDS] = {1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 3, 3, 4, 4, 5, 5, 5, 6, 7, 8, 12, 15};
static int32_t logs[256], sums[2400], fades[1200], losses[256], rise[32];
static uint8_t places[96], found[96];

static int32_t sixteenths(double power) {
    return (int32_t)floor(16 * log2(power) + 0.5);
}

__attribute__((constructor)) static void tables(void) {
    for (int i = 1; i < 256; i++) {
        logs[i] = sixteenths(i);
    }
    for (int i = 1; i < 1200; i++) {
        fades[i] = -sixteenths(1 - exp2(-i / 16.0));
    }
    for (int i = 0; i < 2400; i++) {
        sums[i] = sixteenths(1 + exp2(-i / 16.0));
    }
    for (int i = 0; i < 255; i++) {
        int32_t loss = (int32_t)(256 / (1 + exp2((i - 128) / 16.0)));
        losses[i] = loss > 233 ? 233 : loss;
    }
    for (int i = 0; i < 32; i++) {
        rise[i] = (int32_t)lrint(16384 * sin(3.14159265358979323846 / 64 * (i + 0.5)));
    }
    for (int a = 0; a < 3; a++) {
        for (int b = 0; b < 32; b++) {
            places[(32 * a + 3 * b) % 96] = (uint8_t)(32 * a + b);
            found[(64 * a + 33 * b) % 96] = (uint8_t)(32 * a + 8 * (b % 4) + b / 4);
        }
    }
}

static int32_t weight(int i) {
    return i < 32 ? rise[i] : i < 160 ? 16384 : rise[191 - i];
}

int32_t suppress__measure(int32_t r, int32_t x, const uint16_t *pcm, int32_t off, uint16_t *before) {
    (void)x;
    r = 192 + (before[32] | before[33] << 16);
    int32_t last = 0;
    for (int i = 0; i < 160; i++) {
        int32_t sample = (int16_t)pcm[off + i];
        last = i == 128 ? 0 : last;
        last += sample * sample >> 8;
        r += sample * sample >> 8;
    }
    before[32] = (uint16_t)last;
    before[33] = (uint16_t)(last >> 16);
    int32_t up = 10;
    for (; r > 511; r >>= 2) {
        up--;
    }
    return up;
}

void suppress__window(int32_t r, int32_t x, const uint16_t *pcm, int32_t off, uint16_t *before, uint16_t *re,
                      uint16_t *im, int32_t up) {
    int32_t shift = 18 - up;
    (void)r, (void)x;
    for (int i = 0; i < 192; i++) {
        int32_t sample = (int16_t)(i < 32 ? before[i] : pcm[off + i - 32]);
        sample = (sample * weight(i) + (1 << (shift - 1))) >> shift;
        (i & 1 ? im : re)[places[i >> 1]] = (uint16_t)(sample + 32768);
    }
    for (int i = 0; i < 32; i++) {
        before[i] = pcm[off + 128 + i];
    }
}

static int32_t within(int32_t x, int32_t low, int32_t high) {
    return x < low ? low : x > high ? high : x;
}

void suppress__overlap(int32_t r, int32_t x, uint16_t *pcm, int32_t off, const uint16_t *re, const uint16_t *im,
                       uint16_t *tail, int32_t up) {
    int32_t shift = 10 + up;
    (void)r, (void)x;
    for (int i = 0; i < 192; i++) {
        int32_t sample = (i & 1 ? im : re)[found[i >> 1]] - 32768;
        sample = (sample * weight(i) + (1 << (shift - 1))) >> shift;
        if (i < 32) {
            sample += tail[i] - 32768;
        }
        sample = within(sample, -32768, 32767);
        if (i < 160) {
            pcm[off + i] = (uint16_t)sample;
        } else {
            tail[i - 160] = (uint16_t)(sample + 32768);
        }
    }
}

void suppress__levels(int32_t r, int32_t x, const uint16_t *bins, uint16_t *levels, int32_t up) {
    int32_t k = 1;
    (void)r, (void)x;
    for (int b = 0; b < BANDS; b++) {
        int32_t energy = 0;
        for (int i = 0; i < WIDTHS[b]; i++, k++) {
            const uint16_t *bin = bins + (k < 48 ? 4 * k : 4 * (96 - k) + 2);
            int32_t re = bin[0] - 32768, im = bin[1] - 32768;
            energy += re * re + im * im;
        }
        int32_t level = 192 - 32 * up;
        for (; energy > 255; energy >>= 4) {
            level += 64;
        }
        level += logs[energy];
        levels[b] = (uint16_t)(level < 16 ? 16 : level);
    }
}

void suppress__start(const uint16_t *levels, uint16_t *state) {
    for (int b = 0; b < BANDS; b++) {
        for (int i = 0; i < 5; i++) {
            state[5 * b + i] = (uint16_t)(i < 4 ? levels[b] << 4 : 0);
        }
    }
}

void suppress__gains(int32_t r, int32_t x, const uint16_t *levels, uint16_t *state, uint16_t *gains, int32_t anew,
                     int32_t rate) {
    (void)r, (void)x;
    for (int b = 0; b < BANDS; b++) {
        uint16_t *s = state + 5 * b;
        int32_t level = levels[b];
        int32_t smooth = s[0] + ((16 * level - s[0] + 2) >> 2);
        int32_t late = smooth < s[2] ? smooth : s[2];
        int32_t least = late < s[1] ? late : s[1];
        if (anew) {
            least = late;
            late = smooth;
        }
        int32_t noise = s[3];
        if (smooth < least + SPEECH) {
            noise += (16 * level - noise + ((1 << rate) >> 1)) >> rate;
        }
        if (noise > least + SPEECH) {
            noise = least + SPEECH;
        }
        int32_t above = level - ((noise + 8) >> 4) + 5 - 13 / WIDTHS[b];
        int32_t ratio = s[4] - 1025;
        if (above > 0) {
            int32_t fresh = above - fades[above] - 65;
            int32_t apart = fresh > ratio ? fresh - ratio : ratio - fresh;
            ratio = (fresh > ratio ? fresh : ratio) + sums[apart];
        }
        ratio = within(ratio, -106, 127);
        gains[b + 1] = (uint16_t)(256 - losses[ratio + 128]);
        int32_t gain = ratio < 0 ? ratio - sums[-ratio] : -sums[ratio];
        s[0] = (uint16_t)smooth;
        s[1] = (uint16_t)least;
        s[2] = (uint16_t)late;
        s[3] = (uint16_t)noise;
        s[4] = (uint16_t)(2 * gain + above + 1024);
    }
    gains[0] = gains[1];
    gains[BANDS + 1] = gains[BANDS];
}

void suppress__smooth(int32_t r, int32_t x, const uint16_t *gains, uint16_t *smoothed) {
    (void)r, (void)x;
    for (int b = 0; b < BANDS; b++) {
        smoothed[b] = (uint16_t)((gains[b] + 2 * gains[b + 1] + gains[b + 2] + 2) >> 2);
    }
}
