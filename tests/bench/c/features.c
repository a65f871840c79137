/* A wake word's features after their spectrum in C, as firmware/glasses/wakeword/features.py has them. */
#include <math.h>
#include <stdint.h>

static int32_t weights[241], starts[42], points[33][3], bent[129];

static double mel(double hertz) {
    return 1127 * log1p(hertz / 700);
}

static int32_t gain_for(double noise) {
    return (int32_t)(pow(80 + noise / 128, -0.95) * (1 << 21) + 0.5);
}

__attribute__((constructor)) static void tables(void) {
    double low = mel(125), spacing = (mel(7500) - low) / 41;
    int k = 5;
    for (int band = 0; band < 41; band++) {
        starts[band] = k;
        for (double place; (place = band + 1 - (mel(k * 31.25) - low) / spacing) > -1e-9; k++) {
            weights[k] = (int32_t)floor(4096 * place + 0.5);
        }
    }
    weights[149] = 2471; /* of 2470.49 and 1400.49: as in floats */
    weights[221] = 1401;
    starts[41] = k;
    for (int bits = 0; bits < 33; bits++) {
        double first = bits ? ldexp(1, bits - 1) : 0, by = bits > 1 ? first / 2 : 0;
        for (int i = 0; i < 3; i++) {
            points[bits][i] = gain_for(first + by * i);
        }
    }
    for (int i = 0; i < 129; i++) {
        bent[i] = (int32_t)lround(65536 * (log2(1 + i / 128.0) - i / 128.0));
    }
}

static int32_t bits_of(uint32_t number) {
    return number ? 32 - __builtin_clz(number) : 0;
}

void features_bands(int32_t r, int32_t x, uint16_t *low, const uint16_t *high, uint32_t *levels) {
    uint64_t rest = 0;
    for (r = 0; r < 41; r++) {
        uint64_t weighted = 0, all = 0;
        for (x = starts[r]; x < starts[r + 1]; x++) {
            uint64_t energy = (uint64_t)high[x] << 16 | low[x];
            weighted += energy * (uint64_t)weights[x];
            all += energy;
        }
        if (r) {
            low[r - 1] = (uint16_t)(weighted + rest);
            levels[r - 1] = (uint32_t)((weighted + rest) >> 16);
        }
        rest = 4096 * all - weighted;
    }
}

void features_roots(int32_t r, int32_t x, const uint16_t *low, uint32_t *levels, int32_t up) {
    for (x = 0; x < 40; x++) {
        uint64_t number = (uint64_t)levels[x] << 16 | low[x];
        uint64_t root = (uint64_t)sqrt((double)number);
        r = number >> 32 == 0 && root == 65535;
        root += number - root * root > root && !r;
        levels[x] = (uint32_t)root >> up;
    }
}

static uint32_t quiet(uint32_t level, uint16_t *noise, uint32_t rate) {
    uint32_t much = level << 10, before = noise[0] | (uint32_t)noise[1] << 16;
    uint32_t after = (uint32_t)(((uint64_t)much * rate + (uint64_t)before * (16384 - rate)) >> 14);
    noise[0] = (uint16_t)after;
    noise[1] = after >> 16;
    uint32_t least = (uint32_t)((uint64_t)level * 819 >> 14);
    uint32_t left = after > much ? 0 : (much - after) >> 10;
    return left > least ? left : least;
}

static uint32_t gained(uint32_t level, const uint16_t *noise) {
    uint32_t number = noise[0] | (uint32_t)noise[1] << 16;
    int32_t bits = bits_of(number);
    int32_t part = (int32_t)(bits < 11 ? number << (11 - bits) : number >> (bits - 11)) & 1023;
    const int32_t *y = points[bits];
    int32_t linear = 4 * (y[1] - y[0]) - (y[2] - y[0]), square = y[2] - y[0] - linear;
    int32_t gain = ((((square * part >> 5) + linear * 32) * part + 16384) >> 15) + y[0];
    uint32_t ratio = (uint32_t)((uint64_t)level * (uint32_t)gain >> 6);
    return ratio < 8192 ? ratio * ratio >> 20 : (ratio >> 6) - 64;
}

static int32_t logarithm(uint32_t number) {
    int32_t whole = bits_of(number) - 1;
    int32_t part = (int32_t)(((uint64_t)number << 16) >> whole) & 65535;
    const int32_t *segment = bent + (part >> 9);
    int32_t sum = (whole << 16) + part + segment[0] + ((segment[1] - segment[0]) * (part & 511) >> 16);
    return ((int32_t)(((int64_t)sum * 45426 + 32768) >> 16) * 64 + 32768) >> 16;
}

void features_loudness(int32_t r, int32_t x, const uint32_t *levels, uint16_t *noise, uint16_t *vector) {
    (void)r;
    for (x = 0; x < 40; x++, noise += 2) {
        uint32_t level = gained(quiet(levels[x], noise, x & 1 ? 983 : 409), noise);
        vector[x] = level ? (uint16_t)logarithm(level << 3) : 0;
    }
}

void features_quantise(int32_t r, int32_t x, const uint16_t *vector, uint8_t *inputs, int32_t at) {
    for (x = 0; x < 40; x++) {
        double number = nearbyint(vector[x] * 0.0390625 / (double)0.10196079f - 128);
        r = number > 127 ? 127 : (int32_t)number;
        inputs[at + x] = (uint8_t)r;
    }
}

void features_take(
    int32_t r, int32_t x, const uint16_t *pcm, int32_t n, uint16_t *even, uint16_t *odd, int32_t at
) {
    for (x = 0; x < n; x++) {
        ((at + x) & 1 ? odd : even)[(at + x) >> 1] = pcm[r + x] ^ 32768;
    }
}
