/* The Fourier transform in C, as firmware/glasses/dsp/fft.py has it. */
#include <math.h>
#include <stdint.h>

static int32_t cosines[192];
static uint8_t places[96], found[96], band[97];
static const uint8_t WIDTHS[24] = {1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 3, 3, 4, 4, 5, 5, 5, 6, 7, 8, 12, 15};

__attribute__((constructor)) static void tables(void) {
    for (int k = 0; k < 192; k++) {
        cosines[k] = (int32_t)lrint(8192 * cos(2 * 3.14159265358979323846 * k / 192));
    }
    for (int b = 0, k = 1; b < 24; k += WIDTHS[b++]) {
        for (int i = 0; i < WIDTHS[b]; i++) {
            band[k + i] = (uint8_t)b;
        }
    }
    for (int a = 0; a < 3; a++) {
        for (int b = 0; b < 32; b++) {
            places[(32 * a + 3 * b) % 96] = (uint8_t)(32 * a + b);
            found[(64 * a + 33 * b) % 96] = (uint8_t)(32 * a + 8 * (b % 4) + b / 4);
        }
    }
}

typedef struct {
    int32_t re, im;
} number_t;

static number_t load(const uint16_t *re, const uint16_t *im, int32_t i) {
    return (number_t){re[i] - 32768, im[i] - 32768};
}

static void store(uint16_t *re, uint16_t *im, int32_t i, number_t x) {
    re[i] = (uint16_t)(x.re + 32768);
    im[i] = (uint16_t)(x.im + 32768);
}

static number_t add(number_t a, number_t b) {
    return (number_t){a.re + b.re, a.im + b.im};
}

static number_t sub(number_t a, number_t b) {
    return (number_t){a.re - b.re, a.im - b.im};
}

/* Times minus the imaginary unit. */
static number_t quarter(number_t a) {
    return (number_t){a.im, -a.re};
}

static int32_t shift(int32_t x, int32_t bits) {
    return (x + (1 << (bits - 1))) >> bits;
}

static number_t shifted(number_t x, int32_t bits) {
    return (number_t){shift(x.re, bits), shift(x.im, bits)};
}

/* Times exp(-2 pi i k / 192), shifted by `bits`. */
static number_t turned(number_t x, int32_t k, int32_t bits) {
    int32_t c = cosines[k], s = cosines[(k + 48) % 192];
    return (number_t){shift(x.re * c - x.im * s, bits), shift(x.im * c + x.re * s, bits)};
}

void fft__threes(int32_t r, int32_t x, uint16_t *re, uint16_t *im) {
    (void)r, (void)x;
    for (int i = 0; i < 32; i++) {
        number_t a = load(re, im, i), b = load(re, im, i + 32), c = load(re, im, i + 64);
        number_t both = add(b, c), across = quarter(sub(b, c));
        number_t middle = {shift((2 * a.re - both.re) * 4730, 13), shift((2 * a.im - both.im) * 4730, 13)};
        store(re, im, i, (number_t){shift((a.re + both.re) * 4730, 13), shift((a.im + both.im) * 4730, 13)});
        store(re, im, i + 32, shifted(add(middle, across), 1));
        store(re, im, i + 64, shifted(sub(middle, across), 1));
    }
}

void fft__fours(int32_t r, int32_t x, uint16_t *re, uint16_t *im) {
    (void)r, (void)x;
    for (int k = 0; k < 8; k++) {
        for (int i = k; i < 96; i += 32) {
            number_t a = load(re, im, i), b = load(re, im, i + 8);
            number_t c = load(re, im, i + 16), d = load(re, im, i + 24);
            number_t t = add(a, c), u = sub(a, c), v = add(b, d), w = quarter(sub(b, d));
            store(re, im, i, shifted(add(t, v), 1));
            store(re, im, i + 8, turned(add(u, w), 6 * k, 14));
            store(re, im, i + 16, turned(sub(t, v), 12 * k, 14));
            store(re, im, i + 24, turned(sub(u, w), 18 * k, 14));
        }
    }
}

void fft__eights(int32_t r, int32_t x, uint16_t *re, uint16_t *im, int32_t bits) {
    (void)r, (void)x;
    for (int i = 0; i < 96; i += 8) {
        number_t s[4], d[4];
        for (int k = 0; k < 4; k++) {
            number_t one = load(re, im, i + k), other = load(re, im, i + k + 4);
            s[k] = add(one, other);
            d[k] = sub(one, other);
        }
        number_t t = add(s[0], s[2]), u = sub(s[0], s[2]), v = add(s[1], s[3]), w = quarter(sub(s[1], s[3]));
        number_t e = add(d[0], quarter(d[2])), f = sub(d[0], quarter(d[2]));
        number_t g = add(d[1], quarter(d[3])), h = sub(d[1], quarter(d[3]));
        g = (number_t){shift((g.re + g.im) * 5793, 13), shift((g.im - g.re) * 5793, 13)};
        h = (number_t){shift((h.im - h.re) * 5793, 13), -shift((h.re + h.im) * 5793, 13)};
        number_t out[8] = {add(t, v), add(e, g), add(u, w), add(f, h), sub(t, v), sub(e, g), sub(u, w), sub(f, h)};
        for (int k = 0; k < 8; k++) {
            store(re, im, i + k, shifted(out[k], bits));
        }
    }
}

/* A spectrum: four words for k of 0 to 48, of bin k and bin 96 - k. */
static number_t bin(const uint16_t *bins, int32_t k) {
    return k < 48 ? load(bins + 4 * k, bins + 4 * k + 1, 0) : load(bins + 4 * (96 - k) + 2, bins + 4 * (96 - k) + 3, 0);
}

static void set(uint16_t *bins, int32_t k, number_t x) {
    uint16_t *words = k < 48 ? bins + 4 * k : bins + 4 * (96 - k) + 2;
    store(words, words + 1, 0, x);
}

void fft_split(int32_t r, int32_t x, const uint16_t *re, const uint16_t *im, uint16_t *bins) {
    (void)r, (void)x;
    set(bins, 0, load(re, im, 0));
    number_t middle = load(re, im, found[48]);
    set(bins, 48, (number_t){middle.re, -middle.im});
    for (int k = 1; k < 48; k++) {
        number_t one = load(re, im, found[k]), other = load(re, im, found[96 - k]);
        other.im = -other.im;
        number_t even = add(one, other), odd = turned(quarter(sub(one, other)), k, 13);
        set(bins, k, shifted(add(even, odd), 1));
        set(bins, 96 - k, shifted((number_t){even.re - odd.re, odd.im - even.im}, 1));
    }
}

static number_t scaled(number_t x, int32_t gain) {
    return (number_t){x.re * gain, x.im * gain};
}

void fft_merge(int32_t r, int32_t x, const uint16_t *bins, const uint16_t *gains, uint16_t *re, uint16_t *im) {
    (void)r, (void)x;
    store(re, im, 0, shifted(scaled(bin(bins, 0), gains[0]), 8));
    number_t middle = scaled(bin(bins, 48), gains[band[48]]);
    middle.im = -middle.im;
    store(re, im, places[48], shifted(middle, 8));
    for (int k = 1; k < 48; k++) {
        number_t one = scaled(bin(bins, k), gains[band[k]]), other = scaled(bin(bins, 96 - k), gains[band[96 - k]]);
        other.im = -other.im;
        number_t even = add(one, other), odd = shifted(sub(one, other), 8);
        int32_t c = cosines[k], s = cosines[k + 48];
        odd = (number_t){shift(odd.re * c + odd.im * s, 5), shift(odd.im * c - odd.re * s, 5)};
        store(re, im, places[k], shifted((number_t){even.re - odd.im, even.im + odd.re}, 9));
        store(re, im, places[96 - k], shifted((number_t){even.re + odd.im, odd.re - even.im}, 9));
    }
}
