/* The phase test of a GPU's energy meter: the same short burst of work at several phases of the counter's tick. A counter that integrates gives the
 * same joules wherever the burst lies; one that looks at a part of each tick does not. */
#ifndef TVG_DOCTOR_METER_H
#define TVG_DOCTOR_METER_H

#include <stdbool.h>

enum { TVG_METER_PHASES = 4 };

struct tvg_meter_test {
    char name[96];             /* of the card */
    double period_s;           /* of the counter: median time between two readings that differ */
    double awake_watts;        /* with a context and no work */
    double burst_s;            /* mean length of a burst: a quarter of the period */
    double watts[TVG_METER_PHASES];  /* by phase: joules above awake of a burst over its length, mean */
    double spread;             /* (highest - lowest) / mean of these */
    double noise;              /* standard error of one phase's mean, relative, from the repeats */
    int repeats;               /* of each phase */
};

/* Tests the card with CUDA ordinal `device` for some seconds, filling a part of its free memory again and again. False: `why` says what stood
 * in the way ("" when there is no such card). Loads libcuda.so.1 and libnvidia-ml.so.1; leaves no context behind. */
bool tvg_meter_test(struct tvg_meter_test *test, int device, char why[256]);

#endif
