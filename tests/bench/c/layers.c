/* A wake word's network in C, as firmware/glasses/wakeword/layers.py has it. */
#include <stdint.h>
#include <string.h>

void layers_dot(int32_t s, const uint8_t *w, const uint16_t *plan, const uint8_t *arena, uint32_t *sums) {
    const uint8_t *x = arena + plan[0];
    uint32_t sum = 0;
    sums[0] = 0;
    for (s = 0; s < plan[1]; s++) {
        sum += (uint32_t)w[s] * x[s];
        sums[0] += x[s];
    }
    sums[plan[2]] = sum;
}

void layers_turn(int32_t i, uint8_t *to, const uint8_t *data, int32_t inputs, int32_t n) {
    for (int32_t at = 0, block; at < inputs; at += block) {
        block = inputs - at < 64 ? 8 : 64;
        for (int32_t o = 0; o < n; o++) {
            int32_t first = o / 32 * 32, wide = n - first > 16 ? 32 : 16;
            for (i = at; i < at + block; i++) {
                to[first * inputs + i * wide + o - first] = *data++;
            }
        }
    }
}

void layers_dense(int32_t x, const uint8_t *w, const uint16_t *plan, const uint8_t *arena, uint32_t *sums) {
    const uint8_t *now = arena + plan[0];
    int32_t inputs = plan[1], n = plan[2];
    uint32_t *acc = sums + plan[3], *state = sums + plan[4], *kept = state + 1;
    uint16_t *items = (uint16_t *)(sums + plan[5]), *item = items;
    uint8_t *old = (uint8_t *)(kept + n);
    for (x = 0; x < inputs; x++) {
        int32_t change = now[x] - old[x];
        if (change) {
            old[x] = now[x];
            *item++ = (uint16_t)x;
            *item++ = (uint16_t)(change + 256);
            state[0] += (uint32_t)change;
        }
    }
    item[1] = 0;
    sums[0] = state[0];
    for (int32_t first = 0, wide; first < n; first += wide) {
        uint32_t several[32];
        wide = n - first > 31 ? 32 : 16;
        memcpy(several, kept + first, 4 * (size_t)wide);
        for (item = items; item[1]; item += 2) {
            const uint8_t *row = w + first * inputs + item[0] * wide;
            x = item[1] - 256;
            for (int32_t o = 0; o < wide; o++) {
                several[o] += (uint32_t)(row[o] * x);
            }
        }
        memcpy(kept + first, several, 4 * (size_t)wide);
        memcpy(acc + first, several, 4 * (size_t)wide);
    }
}

void layers_sparse(int32_t x, const uint8_t *w, const uint16_t *plan, const uint8_t *arena, uint32_t *sums) {
    const uint8_t *q = arena + plan[0];
    uint32_t *to = sums + plan[2], *end = to + plan[3];
    sums[0] = 0;
    for (x = 0; x < plan[1]; x++) {
        sums[0] += q[x];
    }
    for (; to < end; to += 16) {
        uint32_t several[16] = {0};
        for (x = 0; x < plan[1]; x++, w += 16) {
            if (q[x]) {
                for (int32_t o = 0; o < 16; o++) {
                    several[o] += (uint32_t)q[x] * w[o];
                }
            }
        }
        memcpy(to, several, sizeof several);
    }
}

void layers_depthwise(int32_t s, const uint8_t *w, const uint16_t *plan, const uint8_t *arena, uint32_t *sums) {
    const uint8_t *ring = arena + plan[0] + arena[plan[1]];
    int32_t stride = plan[2], taps = plan[3], n = plan[5];
    uint32_t *acc = sums + plan[4];
    sums[0] = 0;
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

void layers_gather(int32_t s, const uint8_t *w, const uint16_t *plan, const uint8_t *arena, uint32_t *sums) {
    uint32_t sum = 0;
    (void)w, (void)arena;
    sums += plan[0];
    for (s = 0; s < plan[1]; s++) {
        sum += sums[s];
        sums[s] = 0;
    }
    sums[0] = sum;
}

static uint8_t scaled(const uint16_t *r, const uint16_t *plan, uint32_t *sums, int32_t i, int32_t away) {
    uint32_t *sum = sums + plan[0] + i;
    int32_t p = plan[2];
    r += 6 * i;
    int64_t a = (int64_t)(r[0] | (uint32_t)r[1] << 16) + *sum - ((int64_t)sums[0] * 128 + (1 << 29));
    int64_t factor = ((int64_t)r[2] << 2 * p) + ((int64_t)r[3] << p) + r[4];
    int64_t x = (a * factor + ((int64_t)1 << (3 * p - 1))) >> 2 * p;
    *sum = 0;
    if (away && a < 0) {
        x -= (int64_t)1 << p;
    }
    x = ((x >> r[5]) + plan[3]) >> 1;
    return (uint8_t)(x < 0 ? 0 : x > 255 ? 255 : x);
}

void layers_scale(int32_t a, const uint16_t *r, const uint16_t *plan, uint8_t *arena, uint32_t *sums) {
    for (a = 0; a < plan[1]; a++) {
        arena[plan[4] + a] = scaled(r, plan, sums, a, 0);
    }
}

void layers_scale_away(int32_t a, const uint16_t *r, const uint16_t *plan, uint8_t *arena, uint32_t *sums) {
    for (a = 0; a < plan[1]; a++) {
        arena[plan[4] + a] = scaled(r, plan, sums, a, 1);
    }
}

void layers_remember(int32_t a, const uint16_t *r, const uint16_t *plan, uint8_t *arena, uint32_t *sums) {
    uint8_t *slot = arena + plan[5], *to;
    int32_t slots = plan[6];
    *slot = *slot + 1 == slots ? 0 : *slot + 1;
    to = arena + plan[4] + *slot;
    for (a = 0; a < plan[1]; a++, to += 2 * slots) {
        to[0] = to[slots] = scaled(r, plan, sums, a, 0);
    }
}

void layers_slide(int32_t s, const uint8_t *w, const uint16_t *plan, uint8_t *arena, uint32_t *sums) {
    (void)w, (void)sums;
    for (s = plan[0]; s < plan[0] + plan[1]; s++) {
        arena[s] = arena[s + plan[2]];
    }
}

void layers_take(uint8_t *x, const uint8_t *y, int32_t at, int32_t n) {
    for (int32_t i = 0; i < n; i++) {
        x[at + i] = y[i] ^ 128;
    }
}
