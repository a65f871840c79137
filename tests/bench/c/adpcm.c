/* IMA ADPCM in C, as firmware/glasses/dsp/adpcm.py has it: frames of DVI4 (RFC 3551). */
#include <stdint.h>

static const int16_t STEPS[89] = {
    7,     8,     9,     10,    11,    12,    13,    14,    16,    17,    19,    21,    23,    25,    28,
    31,    34,    37,    41,    45,    50,    55,    60,    66,    73,    80,    88,    97,    107,   118,
    130,   143,   157,   173,   190,   209,   230,   253,   279,   307,   337,   371,   408,   449,   494,
    544,   598,   658,   724,   796,   876,   963,   1060,  1166,  1282,  1411,  1552,  1707,  1878,  2066,
    2272,  2499,  2749,  3024,  3327,  3660,  4026,  4428,  4871,  5358,  5894,  6484,  7132,  7845,  8630,
    9493,  10442, 11487, 12635, 13899, 15289, 16818, 18500, 20350, 22385, 24623, 27086, 29794, 32767};
static const int8_t MOVES[8] = {-1, -1, -1, -1, 2, 4, 6, 8};

typedef struct {
    int32_t predictor, index;
} state_t;

static int32_t within(int32_t x, int32_t low, int32_t high) {
    return x < low ? low : x > high ? high : x;
}

/* What a code does, on both sides. */
static void move(state_t *s, int32_t code) {
    int32_t step = STEPS[s->index];
    int32_t change = step >> 3;
    if (code & 4) change += step;
    if (code & 2) change += step >> 1;
    if (code & 1) change += step >> 2;
    s->predictor = within(s->predictor + (code & 8 ? -change : change), -32768, 32767);
    s->index = within(s->index + MOVES[code & 7], 0, 88);
}

void adpcm__fill(const uint16_t *steps, uint16_t *changes, uint8_t *after) {
    for (int32_t i = 0; i < 712; i++) {
        int32_t step = steps[i / 8];
        int32_t code = i % 8;
        int32_t change = step / 8;
        if (code & 4) change += step;
        if (code & 2) change += step / 2;
        if (code & 1) change += step / 4;
        changes[i] = (uint16_t)change;
        after[i] = (uint8_t)within(i / 8 + MOVES[code], 0, 88);
    }
}

/* The first two arguments of both are room for the kernel's locals. */
int32_t adpcm_encode_frame(int32_t row, int32_t d, const uint16_t *pcm, int32_t pcm_off, uint8_t *out,
                           int32_t out_off, int32_t end, uint8_t *state) {
    (void)row, (void)d;
    int32_t n = end - pcm_off;
    state_t s = {(int16_t)(state[0] | state[1] << 8), within(state[2], 0, 88)};
    uint8_t *o = out + out_off;
    *o++ = state[1];
    *o++ = state[0];
    *o++ = (uint8_t)s.index;
    *o++ = 0;
    for (int32_t i = 0; i < n; i++) {
        int32_t diff = (int16_t)pcm[pcm_off + i] - s.predictor;
        int32_t code = diff < 0 ? 8 : 0;
        diff = diff < 0 ? -diff : diff;
        int32_t step = STEPS[s.index];
        for (int32_t bit = 4; bit; bit >>= 1) {
            if (diff >= step) {
                code |= bit;
                diff -= step;
            }
            step >>= 1;
        }
        move(&s, code);
        if (i & 1) {
            *o++ |= (uint8_t)code;
        } else {
            *o = (uint8_t)(code << 4);
        }
    }
    state[0] = (uint8_t)s.predictor;
    state[1] = (uint8_t)(s.predictor >> 8);
    state[2] = (uint8_t)s.index;
    return out_off + 4 + n / 2;
}

int32_t adpcm_decode_frame(int32_t row, int32_t code, const uint8_t *frame, int32_t off, int32_t end,
                           uint16_t *pcm, int32_t pcm_off) {
    (void)row, (void)code;
    const uint8_t *f = frame + off;
    state_t s = {(int16_t)(f[0] << 8 | f[1]), within(f[2], 0, 88)};
    int32_t n = 2 * (end - off - 4);
    for (int32_t i = 0; i < n; i++) {
        int32_t both = f[4 + i / 2];
        move(&s, i & 1 ? both & 15 : both >> 4);
        pcm[pcm_off + i] = (uint16_t)s.predictor;
    }
    return pcm_off + n;
}
