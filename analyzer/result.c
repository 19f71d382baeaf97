/* The error idiom: one message with file, place, cause and mend, everything from outside escaped. */
#include "result.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

bool tvg_fail(struct tvg_error *error, const char *file, const char *place, const char *mend, const char *cause_format, ...)
{
    if (!error)
        return false;
    char where[384] = "", cause[512], shown[512];
    va_list list;
    va_start(list, cause_format);
    vsnprintf(cause, sizeof cause, cause_format, list);
    va_end(list);
    if (file)
        snprintf(where, sizeof where, "%s: ", tvg_escape(shown, 256, file));
    if (place) {
        size_t used = strlen(where);
        snprintf(where + used, sizeof where - used, "%s: ", tvg_escape(shown, 128, place));
    }
    tvg_escape(shown, sizeof shown, cause);
    snprintf(error->message, sizeof error->message, "%s%s%s%.120s", where, shown, mend ? "; " : "", mend ? mend : "");
    return false;
}

/* Length of the well-formed UTF-8 sequence at `text`, its code point in *point; 0 when there is none. */
static unsigned utf8(const unsigned char *text, uint32_t *point)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned length = text[0] < 0x80 ? 1 : (text[0] & 0xe0) == 0xc0 ? 2 : (text[0] & 0xf0) == 0xe0 ? 3 : (text[0] & 0xf8) == 0xf0 ? 4 : 0;
    if (length == 0)
        return 0;
    uint32_t value = length == 1 ? text[0] : text[0] & (0xffu >> (length + 1));
    for (unsigned i = 1; i < length; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 0;
        value = value << 6 | (text[i] & 0x3fu);
    }
    if (value < least[length] || value > 0x10ffff || (value >= 0xd800 && value < 0xe000))
        return 0;
    *point = value;
    return length;
}

/* Characters that a terminal acts on or that change how the text around them reads. */
static bool unsafe(uint32_t point)
{
    return point < 0x20 || (point >= 0x7f && point < 0xa0) || point == 0x061c || (point >= 0x200b && point <= 0x200f) ||
           (point >= 0x2028 && point <= 0x202e) || (point >= 0x2060 && point <= 0x206f) || point == 0xfeff || (point >= 0xfff9 && point <= 0xfffb) ||
           (point >= 0xe0000 && point <= 0xe007f);
}

char *tvg_escape(char *out, unsigned long capacity, const char *text)
{
    unsigned long used = 0;
    const unsigned char *next = (const unsigned char *)(text ? text : "");
    if (capacity == 0)
        return out;
    while (*next) {
        uint32_t point = 0;
        unsigned length = utf8(next, &point);
        bool plain = length && !unsafe(point);
        unsigned count = length ? length : 1;
        unsigned long needed = plain ? count : 4ul * count;
        if (used + needed >= capacity)
            break;
        for (unsigned i = 0; i < count; i++) {
            if (plain)
                out[used++] = (char)next[i];
            else
                used += (unsigned long)snprintf(out + used, 5, "\\x%02x", next[i]);
        }
        next += count;
    }
    out[used] = '\0';
    return out;
}
