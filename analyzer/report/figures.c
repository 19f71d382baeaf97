/* How figures, units and classes of ops read on a terminal. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "figures.h"

/* 1234567.8 -> "1,234,568" */
static void grouped(char *out, size_t size, double value)
{
    char digits[32];
    snprintf(digits, sizeof digits, "%.0f", fabs(value));
    size_t length = strlen(digits), used = 0;
    if (value <= -0.5 && used + 1 < size)
        out[used++] = '-';
    for (size_t i = 0; i < length && used + 2 < size; i++) {
        out[used++] = digits[i];
        if ((length - i - 1) % 3 == 0 && i + 1 < length)
            out[used++] = ',';
    }
    out[used] = '\0';
}

/* Three significant digits without an exponent; `value` within 0.001 .. 1e6. */
static void three(char *out, size_t size, double value)
{
    double magnitude = fabs(value);
    if (magnitude >= 999.5)
        grouped(out, size, value);
    else
        snprintf(out, size, "%.*f", magnitude >= 99.95 ? 0 : magnitude >= 9.995 ? 1 : magnitude >= 0.9995 || magnitude == 0 ? 2 : 3, value);
}

/* The prefix for joules and its factor. */
static const char *joule_unit(double joules, double *factor)
{
    double magnitude = fabs(joules);
    static const struct { double from, factor; const char *unit; } steps[] = {
        {1e10, 1 / 3.6e9, "MWh"}, {1e7, 1 / 3.6e6, "kWh"}, {1e4, 1e-3, "kJ"}, {0.9995, 1, "J"}, {0.9995e-3, 1e3, "mJ"}, {0.9995e-6, 1e6, "uJ"}, {0, 1e9, "nJ"}};
    size_t i = 0;
    while (magnitude < steps[i].from)
        i++;
    if (magnitude == 0)
        i = 3;
    *factor = steps[i].factor;
    return steps[i].unit;
}

char *tvg_show_joules(char *out, size_t size, double joules)
{
    double factor;
    char number[32];
    const char *unit = joule_unit(joules, &factor);
    three(number, sizeof number, joules * factor);
    snprintf(out, size, "%s %s", number, unit);
    return out;
}

char *tvg_show_band(char *out, size_t size, struct tvg_interval j)
{
    double factor;
    char low[32], high[32];
    const char *unit = joule_unit(fmax(fabs(j.low), fabs(j.high)), &factor);
    three(low, sizeof low, j.low * factor);
    three(high, sizeof high, j.high * factor);
    snprintf(out, size, j.low < 0 ? "%s to %s %s" : "%s-%s %s", low, high, unit);
    return out;
}

const char *tvg_joule_unit(double like)
{
    double factor;
    return joule_unit(like, &factor);
}

/* Two or three significant digits, but not below a thousandth of the unit. */
static void three_of(char *out, size_t size, double value, int digits)
{
    double magnitude = fabs(value);
    if (digits == 2 && magnitude >= 0.01 && magnitude < 99.5) {
        snprintf(out, size, "%.*f", magnitude >= 9.95 ? 0 : magnitude >= 0.995 ? 1 : 2, value);
        return;
    }
    if (magnitude > 0 && magnitude < 0.0005)
        snprintf(out, size, value < 0 ? ">-0.001" : "<0.001");
    else if (magnitude < 0.1)
        snprintf(out, size, "%.3f", value);
    else
        three(out, size, value);
}

char *tvg_show_joules_like(char *out, size_t size, double joules, double like)
{
    double factor;
    char number[32];
    const char *unit = joule_unit(like, &factor);
    three_of(number, sizeof number, joules * factor, 3);
    snprintf(out, size, "%s %s", number, unit);
    return out;
}

char *tvg_show_band_like(char *out, size_t size, struct tvg_interval j, double like, int digits)
{
    double factor;
    char low[32], high[32];
    joule_unit(like, &factor);
    three_of(low, sizeof low, j.low * factor, digits);
    three_of(high, sizeof high, j.high * factor, digits);
    if (strcmp(low, high) == 0)
        snprintf(out, size, "%s", low);
    else
        snprintf(out, size, j.low < 0 || low[0] == '<' || low[0] == '>' ? "%s to %s" : "%s-%s", low, high);
    return out;
}

char *tvg_show_seconds(char *out, size_t size, double seconds)
{
    char number[32];
    if (seconds >= 7200)
        three(number, sizeof number, seconds / 3600), snprintf(out, size, "%s h", number);
    else if (seconds >= 600)
        three(number, sizeof number, seconds / 60), snprintf(out, size, "%s min", number);
    else if (seconds >= 0.9995 || seconds == 0)
        three(number, sizeof number, seconds), snprintf(out, size, "%s s", number);
    else if (seconds >= 0.9995e-3)
        three(number, sizeof number, seconds * 1e3), snprintf(out, size, "%s ms", number);
    else
        three(number, sizeof number, seconds * 1e6), snprintf(out, size, "%s us", number);
    return out;
}

char *tvg_show_count(char *out, size_t size, double count)
{
    if (fabs(count) < 1e9 && fabs(count - round(count)) < 1e-6)
        grouped(out, size, count);
    else if (fabs(count) < 1e9)
        three(out, size, count);
    else
        snprintf(out, size, "%.3g", count);
    return out;
}

char *tvg_show_si(char *out, size_t size, double value, const char *unit)
{
    static const char *const prefixes[] = {"", "k", "M", "G", "T", "P", "E"};
    unsigned i = 0;
    while (fabs(value) >= 999.5 && i < 6) {
        value /= 1000;
        i++;
    }
    char number[32];
    three(number, sizeof number, value);
    snprintf(out, size, "%s %s%s", number, prefixes[i], unit);
    return out;
}

const char *tvg_unit_word(const char *kind, bool one)
{
    static const struct { const char *kind, *one, *many; } words[] = {
        {"output_token", "output token", "output tokens"}, {"input_token", "input token", "input tokens"}, {"image", "image", "images"},
        {"sequence", "sequence", "sequences"}, {"audio_second", "audio second", "audio seconds"}, {"request", "request", "requests"},
        {"pass", "pass", "passes"}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(words[i].kind, kind) == 0)
            return one ? words[i].one : words[i].many;
    return kind;
}

const char *tvg_op_class(const struct tvg_op *op)
{
    switch (op->kind) {
    case TVG_KIND_GEMM: case TVG_KIND_GEMMT: case TVG_KIND_SYMM: case TVG_KIND_HEMM: case TVG_KIND_SYRK: case TVG_KIND_HERK:
    case TVG_KIND_SYR2K: case TVG_KIND_HER2K: case TVG_KIND_TRMM: case TVG_KIND_TRSM:
        return "matrix products";
    case TVG_KIND_CONV: return "convolutions";
    case TVG_KIND_ATTENTION: return "attention";
    case TVG_KIND_RNN: return "recurrent";
    case TVG_KIND_SOFTMAX: case TVG_KIND_NORM: case TVG_KIND_ACTIVATION: case TVG_KIND_ELEMENTWISE: case TVG_KIND_REDUCE: case TVG_KIND_POOL:
    case TVG_KIND_ROPE: case TVG_KIND_EMBEDDING:
        return "elementwise, norm";
    case TVG_KIND_PACK: case TVG_KIND_COPY: case TVG_KIND_TRANSPOSE: case TVG_KIND_MEMSET: case TVG_KIND_QUANTIZE: case TVG_KIND_DEQUANTIZE:
        return "copies, packing";
    case TVG_KIND_COLLECTIVE: return "collectives";
    case TVG_KIND_LAPACK: return "factorize, solve";
    case TVG_KIND_KERNEL: return "other kernels";
    case TVG_KIND_OTHER: case TVG_KIND_SYNC: case TVG_KIND_GRAPH: return "other ops";
    default: return "matrix-vector";
    }
}
