/* Voice activity in C, as firmware/glasses/dsp/activity.py has it. */
#include <stdint.h>

static uint32_t magnitude(int32_t number) {
    return (uint32_t)(number < 0 ? -1 - number : number);
}

void activity_measure(const uint16_t *pcm, int32_t v, int32_t n, uint32_t *sums) {
    (void)v;
    sums[0] = sums[1] = sums[2] = sums[3] = 0;
    for (int32_t i = 0; i < n; i += 8) {
        const int16_t *x = (const int16_t *)pcm + i;
        int32_t pair = x[0] + x[1], other = x[2] + x[3];
        int32_t four = pair + other, last = x[4] + x[5] + x[6] + x[7];
        sums[0] += magnitude(x[1] - x[0]);
        sums[1] += magnitude(other - pair);
        sums[2] += magnitude(last - four);
        sums[3] += magnitude(four + last);
    }
}

static int32_t logarithm(uint32_t value) {
    int32_t exponent = 0;
    while (value >> (exponent + 9)) {
        exponent++;
    }
    return (exponent << 12) + (((int32_t)(value >> exponent) - 256) << 4);
}

int32_t activity_decide(const uint32_t *sums, uint32_t *state) {
    int32_t *s = (int32_t *)state;
    int32_t loud = 0;
    for (int k = 0; k < 4; k++) {
        int32_t *band = s + 4 + 12 * k; /* level, smooth, noise, least, the last 8 */
        int32_t level = logarithm(sums[k] + 256);
        band[0] = level;
        if (s[0] < 4) {
            band[1] = s[0] ? (band[2] * s[0] + level) / (s[0] + 1) : level;
            for (int i = 2; i < 12; i++) {
                band[i] = band[1];
            }
            continue;
        }
        band[1] += (level - band[1]) >> 2;
        if (band[1] < band[3]) {
            band[3] = band[1];
        }
        int32_t least = band[3];
        for (int i = 4; i < 12; i++) {
            least = band[i] < least ? band[i] : least;
        }
        least += k == 3 ? 1020 : 680;
        if (band[2] < least) {
            band[2] = least;
        }
        if (band[2] > band[1] + 2040) {
            band[2] = band[1] + 2040;
        }
        level -= band[2] + 340;
        loud += level > 0 ? level : 0;
    }
    if (s[0] < 4) {
        s[0]++;
        return 0;
    }
    int32_t voice = loud > 6800 || s[3] > 0;
    if (loud > 6800) {
        s[3] = 16;
    } else if (s[3] > 0) {
        s[3]--;
    }
    s[1]++;
    for (int k = 0; k < 4; k++) {
        int32_t *band = s + 4 + 12 * k;
        if (!voice) {
            band[2] += (band[0] - band[2]) >> 3;
        }
        if (s[1] == 8) {
            band[4 + s[2]] = band[3];
            band[3] = band[1];
        }
    }
    if (s[1] == 8) {
        s[1] = 0;
        s[2] = (s[2] + 1) & 7;
    }
    return voice;
}
