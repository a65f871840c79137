/* The spectrum that a wake word is heard by in C, as firmware/glasses/wakeword/spectrum.py has it. */
#include <math.h>
#include <stdint.h>

static int32_t hann[480], cosines[385], places[256];

__attribute__((constructor)) static void tables(void) {
    double pi = acos(-1);
    for (int i = 0; i < 480; i++) {
        hann[i] = (int32_t)floor(2048 * (1 - cos(2 * pi * (i + 0.5) / 480)) + 0.5);
    }
    hann[17] = 54;
    for (int i = 0; i < 385; i++) {
        cosines[i] = (int32_t)floor(32767 * cos(2 * pi * i / 512) + 0.5);
    }
    for (int n = 0; n < 256; n++) {
        places[n] = (n & 3) << 6 | (n & 12) << 2 | (n & 48) >> 2 | n >> 6;
    }
}

static int32_t cosine(int32_t i) {
    return cosines[i > 256 ? 512 - i : i];
}

static int32_t number(uint16_t raw) {
    return raw - 32768;
}

static uint16_t raw(int32_t number) {
    return (uint16_t)(number + 32768);
}

static int32_t rounded(int32_t product) {
    return (product + 16384) >> 15;
}

int32_t spectrum_window(
    const uint16_t *even, int32_t x, const uint16_t *odd, uint16_t *re, uint16_t *im, int32_t oldest
) {
    int32_t bits = 0, up = 15, r;
    for (r = 0; r < 480; r++) {
        x = number((r & 1 ? odd : even)[((r >> 1) + oldest) % 240]) * hann[r] >> 12;
        (r & 1 ? im : re)[places[r >> 1]] = raw(x);
        bits |= x < 0 ? -x : x;
    }
    for (r = 240; r < 256; r++) {
        re[places[r]] = im[places[r]] = 32768;
    }
    for (r = bits & 32767; r; r >>= 1) {
        up--;
    }
    for (r = 0; up && bits > 32767 && r < 256; r++) {
        re[r] = re[r] ? re[r] : 32768;
        im[r] = im[r] ? im[r] : 32768;
    }
    return up;
}

/* Four numbers, the first and third and the others already turned, added up. */
static void add(uint16_t *re, uint16_t *im, const int32_t *ar, const int32_t *ai) {
    int32_t pr = ar[0] + ar[2], pi = ai[0] + ai[2], mr = ar[0] - ar[2], mi = ai[0] - ai[2];
    int32_t sr = ar[1] + ar[3], si = ai[1] + ai[3], dr = ar[1] - ar[3], di = ai[1] - ai[3];
    re[0] = raw(pr + sr);
    im[0] = raw(pi + si);
    re[64] = raw(mr + di);
    im[64] = raw(mi - dr);
    re[128] = raw(pr - sr);
    im[128] = raw(pi - si);
    re[192] = raw(mr - di);
    im[192] = raw(mi + dr);
}

void spectrum_first(
    const uint16_t *re, int32_t x, const uint16_t *im, uint16_t *to_re, uint16_t *to_im, int32_t up
) {
    int32_t by = 8191 << up, ar[4], ai[4];
    for (int32_t i = 0; i < 64; i++) {
        for (x = 0; x < 4; x++) {
            ar[x] = rounded(number(re[4 * i + x]) * by);
            ai[x] = rounded(number(im[4 * i + x]) * by);
        }
        add(to_re + i, to_im + i, ar, ai);
    }
}

static void pass(const uint16_t *re, const uint16_t *im, uint16_t *to_re, uint16_t *to_im, int32_t apart) {
    int32_t ar[4], ai[4], each = 64 / apart;
    for (int32_t k = 0; k < apart; k++) {
        int32_t angle = k * (128 / apart), c[4], s[4];
        for (int32_t n = 1; n < 4; n++) {
            c[n] = cosine(angle * n);
            s[n] = cosine(angle * n + 128);
        }
        for (int32_t i = k * each; i < (k + 1) * each; i++) {
            ar[0] = rounded(number(re[4 * i]) * 8191);
            ai[0] = rounded(number(im[4 * i]) * 8191);
            for (int32_t n = 1; n < 4; n++) {
                int32_t r = rounded(number(re[4 * i + n]) * 8191);
                int32_t x = rounded(number(im[4 * i + n]) * 8191);
                ar[n] = rounded(r * c[n] - x * s[n]);
                ai[n] = rounded(r * s[n] + x * c[n]);
            }
            add(to_re + i, to_im + i, ar, ai);
        }
    }
}

void spectrum_later(int32_t r, int32_t x, uint16_t *re, uint16_t *im, uint16_t *to_re, uint16_t *to_im) {
    (void)r, (void)x;
    pass(re, im, to_re, to_im, 4);
    pass(to_re, to_im, re, im, 16);
    pass(re, im, to_re, to_im, 64);
}

static int32_t half(uint16_t raw) {
    return rounded(number(raw) * 16383);
}

void spectrum_energies(int32_t r, int32_t x, uint16_t *re, uint16_t *im) {
    for (int32_t k = 5; k < 129; k++) {
        int32_t j = 256 - k, c = cosine(k + 128), s = cosine(k + 256);
        int32_t ar = half(re[k]), ai = half(im[k]), br = half(re[j]), bi = half((uint16_t)-im[j]);
        r = (int16_t)rounded((ar - br) * c - (ai - bi) * s);
        x = (int16_t)rounded((ar - br) * s + (ai - bi) * c);
        int32_t even_re = ar + br, even_im = ai + bi;
        int32_t real = (even_re + r) >> 1, imaginary = (even_im + x) >> 1;
        int32_t energy = real * real + imaginary * imaginary;
        re[k] = (uint16_t)energy;
        im[k] = (uint16_t)(energy >> 16);
        real = (even_re - r) >> 1;
        imaginary = (x - even_im) >> 1;
        energy = real * real + imaginary * imaginary;
        re[j] = (uint16_t)energy;
        im[j] = (uint16_t)(energy >> 16);
    }
}
