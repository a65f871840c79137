/* Noise suppression in C, as firmware/glasses/dsp/suppress.py has it. */
#include <math.h>
#include <stdint.h>

#define BANDS 33
#define SPEECH 425

static const uint8_t EDGES[BANDS + 1] = {1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 17, 19,
                                         21, 23, 25, 27, 30, 33, 36, 40, 44, 48, 53, 58, 64, 70, 77, 85, 96};
static int32_t logs[256], sums[1200], fades[256], losses[256], rise[32];
static uint8_t places[96], found[96];

static int32_t sixteenths(double power) {
    return (int32_t)floor(16 * log2(power) + 0.5);
}

__attribute__((constructor)) static void tables(void) {
    for (int i = 1; i < 256; i++) {
        logs[i] = sixteenths(i);
        fades[i] = -sixteenths(1 - exp2(-i / 16.0));
    }
    for (int i = 0; i < 1200; i++) {
        sums[i] = sixteenths(1 + exp2(-i / 16.0));
    }
    for (int i = 0; i < 255; i++) {
        int32_t loss = (int32_t)(256 / (1 + exp2((i - 128) / 16.0)));
        losses[i] = loss > 224 ? 224 : loss;
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

static int32_t bits(int32_t x) {
    int32_t n = 0;
    for (; x; x >>= 1) {
        n++;
    }
    return n;
}

static int32_t weight(int i) {
    return i < 32 ? rise[i] : i < 160 ? 16384 : rise[191 - i];
}

int32_t suppress__measure(int32_t r, int32_t x, const uint16_t *pcm, int32_t off, const uint16_t *before) {
    int32_t total = 0, all = 0;
    (void)r, (void)x;
    for (int i = 0; i < 192; i++) {
        int32_t sample = (int16_t)(i < 32 ? before[i] : pcm[off + i - 32]);
        sample = sample < 0 ? -sample : sample;
        total += sample;
        all |= sample;
    }
    int32_t up = (37 - bits(total) - bits(all)) >> 1;
    return up > 14 ? 14 : up;
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

void suppress__levels(int32_t r, int32_t x, const uint16_t *xr, const uint16_t *xi, uint16_t *levels, int32_t up) {
    (void)r, (void)x;
    for (int b = 0; b < BANDS; b++) {
        int32_t energy = 0;
        for (int i = EDGES[b]; i < EDGES[b + 1]; i++) {
            int32_t re = xr[i] - 32768, im = xi[i] - 32768;
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

void suppress__gains(int32_t r, int32_t x, const uint16_t *levels, uint16_t *state, uint16_t *gains, int32_t what,
                     int32_t rate) {
    (void)r, (void)x;
    for (int b = 0; b < BANDS; b++) {
        uint16_t *s = state + 5 * b;
        int32_t level = levels[b];
        if (what == 0) {
            s[0] = s[1] = s[2] = s[3] = (uint16_t)(level << 4);
            s[4] = 0;
        }
        int32_t smooth = s[0] + ((16 * level - s[0] + 2) >> 2);
        int32_t late = smooth < s[2] ? smooth : s[2];
        int32_t least = late < s[1] ? late : s[1];
        if (what == 2) {
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
        int32_t above = within(level - ((noise + 8) >> 4) - 13 / (EDGES[b + 1] - EDGES[b]), -255, 255);
        int32_t ratio = s[4] - 1025;
        if (above > 0) {
            int32_t fresh = above - fades[above] - 73;
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

void suppress__spread(int32_t r, int32_t x, const uint16_t *gains, uint16_t *bins) {
    (void)r, (void)x;
    for (int b = 0; b < BANDS; b++) {
        int32_t gain = (gains[b] + 2 * gains[b + 1] + gains[b + 2] + 2) >> 2;
        for (int i = EDGES[b]; i < EDGES[b + 1]; i++) {
            bins[i] = (uint16_t)gain;
        }
    }
}
