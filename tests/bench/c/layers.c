/* A wake word's network in C, as firmware/glasses/wakeword/layers.py has it. */
#include <stdint.h>
#include <string.h>

static int32_t blocks(const uint8_t **w, const uint8_t **x, int32_t *inputs, int32_t size, uint32_t *acc, int32_t n) {
    int32_t total = 0;
    while (*inputs >= size) {
        for (int32_t o = 0; o < n; o++) {
            uint32_t sum = 0;
            for (int32_t i = 0; i < size; i++) {
                sum += (uint32_t)(*x)[i] * *(*w)++;
            }
            acc[o] += sum;
        }
        for (int32_t i = 0; i < size; i++) {
            total += (*x)[i];
        }
        *x += size;
        *inputs -= size;
    }
    return total;
}

int32_t layers_dense(int32_t s, const uint8_t *w, const uint8_t *x, int32_t at, int32_t inputs, uint32_t *acc, int32_t n) {
    x += at;
    s = blocks(&w, &x, &inputs, 64, acc, n);
    return s + blocks(&w, &x, &inputs, 8, acc, n);
}

int32_t layers_sparse(int32_t x, const uint8_t *w, const uint8_t *q, int32_t at, int32_t inputs, uint32_t *acc, int32_t first, int32_t n) {
    int32_t total = 0;
    q += at;
    for (x = 0; x < inputs; x++) {
        total += q[x];
    }
    for (uint32_t *to = acc + first; to < acc + first + n; to += 16) {
        uint32_t sums[16] = {0};
        for (x = 0; x < inputs; x++, w += 16) {
            if (q[x]) {
                for (int32_t o = 0; o < 16; o++) {
                    sums[o] += (uint32_t)q[x] * w[o];
                }
            }
        }
        memcpy(to, sums, sizeof sums);
    }
    return total;
}

void layers_depthwise(int32_t s, const uint8_t *w, const uint8_t *ring, int32_t at, int32_t stride, int32_t taps, uint32_t *acc, int32_t first, int32_t n) {
    ring += at;
    acc += first;
    while (taps) {
        int32_t size = taps < 16 ? taps : 16;
        for (int32_t c = 0; c < n; c++, w += size) {
            s = 1 << 20;
            for (int32_t i = 0; i < size; i++) {
                s += (w[i] - 128) * ring[stride * c + i];
            }
            acc[c] += (uint32_t)s;
        }
        ring += size;
        taps -= size;
    }
}

void layers_gather(int32_t s, uint32_t *acc, int32_t n) {
    uint32_t sum = 0;
    for (s = 0; s < n; s++) {
        sum += acc[s];
        acc[s] = 0;
    }
    acc[0] = sum;
}

static uint8_t scaled(const uint16_t *r, uint32_t *sum, int32_t less, int32_t p, int32_t zero, int32_t away) {
    int64_t a = (int64_t)(r[0] | (uint32_t)r[1] << 16) + *sum - less;
    int64_t factor = ((int64_t)r[2] << 2 * p) + ((int64_t)r[3] << p) + r[4];
    int64_t x = (a * factor + ((int64_t)1 << (3 * p - 1))) >> 2 * p;
    *sum = 0;
    if (away && a < 0) {
        x -= (int64_t)1 << p;
    }
    x = ((x >> r[5]) + zero) >> 1;
    return (uint8_t)(x < 0 ? 0 : x > 255 ? 255 : x);
}

void layers_scale(int32_t a, const uint16_t *r, int32_t n, uint32_t *acc, int32_t first, int32_t less, int32_t p, int32_t zero, uint8_t *out, int32_t at) {
    for (a = 0; a < n; a++) {
        out[at + a] = scaled(r + 6 * a, acc + first + a, less, p, zero, 0);
    }
}

void layers_scale_away(int32_t a, const uint16_t *r, int32_t n, uint32_t *acc, int32_t first, int32_t less, int32_t p, int32_t zero, uint8_t *out, int32_t at) {
    for (a = 0; a < n; a++) {
        out[at + a] = scaled(r + 6 * a, acc + first + a, less, p, zero, 1);
    }
}

void layers_remember(int32_t a, const uint16_t *r, int32_t n, uint32_t *acc, int32_t first, int32_t less, int32_t p, int32_t zero, uint8_t *ring, int32_t at, int32_t slots) {
    for (a = 0; a < n; a++) {
        uint8_t *to = ring + at + 2 * slots * a;
        to[0] = to[slots] = scaled(r + 6 * a, acc + first + a, less, p, zero, 0);
    }
}

void layers_slide(uint8_t *x, int32_t i, int32_t at, int32_t n, int32_t by) {
    for (i = at; i < at + n; i++) {
        x[i] = x[i + by];
    }
}

void layers_take(int32_t i, int32_t x, const uint8_t *inputs, uint8_t *out, int32_t at, int32_t n) {
    (void)x;
    for (i = 0; i < n; i++) {
        out[at + i] = inputs[i] ^ 128;
    }
}
