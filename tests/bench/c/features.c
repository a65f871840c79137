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

void features_quiet(int32_t r, int32_t x, uint32_t *levels, uint16_t *noise) {
    for (x = 0; x < 40; x++) {
        uint32_t much = levels[x] << 10, before = noise[2 * x] | (uint32_t)noise[2 * x + 1] << 16;
        r = x & 1 ? 983 : 409;
        uint32_t after = (uint32_t)(((uint64_t)much * (uint32_t)r + (uint64_t)before * (16384 - r)) >> 14);
        noise[2 * x] = (uint16_t)after;
        noise[2 * x + 1] = after >> 16;
        uint32_t least = (uint32_t)((uint64_t)levels[x] * 819 >> 14);
        uint32_t left = after > much ? 0 : (much - after) >> 10;
        levels[x] = left > least ? left : least;
    }
}

void features_gains(int32_t r, int32_t x, uint32_t *levels, const uint16_t *noise) {
    for (x = 0; x < 40; x++) {
        uint32_t number = noise[2 * x] | (uint32_t)noise[2 * x + 1] << 16;
        int32_t bits = bits_of(number);
        int32_t part = (int32_t)(bits < 11 ? number << (11 - bits) : number >> (bits - 11)) & 1023;
        const int32_t *y = points[bits];
        int32_t linear = 4 * (y[1] - y[0]) - (y[2] - y[0]), square = y[2] - y[0] - linear;
        r = ((((square * part >> 5) + linear * 32) * part + 16384) >> 15) + y[0];
        uint32_t ratio = (uint32_t)((uint64_t)levels[x] * (uint32_t)r >> 6);
        levels[x] = ratio < 8192 ? ratio * ratio >> 20 : (ratio >> 6) - 64;
    }
}

void features_logs(int32_t r, int32_t x, const uint32_t *levels, uint16_t *vector) {
    for (x = 0; x < 40; x++) {
        uint32_t number = levels[x] << 3;
        if (number == 0) {
            vector[x] = 0;
            continue;
        }
        int32_t whole = bits_of(number) - 1;
        int32_t part = (int32_t)(((uint64_t)number << 16) >> whole) & 65535;
        const int32_t *segment = bent + (part >> 9);
        r = (whole << 16) + part + segment[0] + ((segment[1] - segment[0]) * (part & 511) >> 16);
        r = (int32_t)(((int64_t)r * 45426 + 32768) >> 16);
        vector[x] = (uint16_t)((r * 64 + 32768) >> 16);
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

void features_advance(int32_t r, int32_t x, uint32_t *even, uint32_t *odd) {
    for (r = 0, x = 40; x < 120; r++, x++) {
        even[r] = even[x];
        odd[r] = odd[x];
    }
}
