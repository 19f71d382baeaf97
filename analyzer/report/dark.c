/* Where CPU time went, for people and as JSON: shared by `tvg coverage` and `tvg report`. */
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "../../trace/samples.h"
#include "report.h"

void tvg_dark_share(const struct tvg_profile *profile, double *low, double *high)
{
    double cpu = profile->cpu_seconds;
    struct tvg_interval outside[6], all = {0, 0, 0};
    *low = *high = NAN;
    if (!(cpu > 0))
        return;
    tvg_cpu_outside(profile, outside);
    for (int p = 0; p < 6; p++)
        all = tvg_interval_add(all, outside[p]);
    *low = fmin(1, all.low / cpu);
    *high = fmin(1, all.high / cpu);
}

double tvg_dark_chance(const struct tvg_profile *profile)
{
    double all = 0;
    for (int p = 0; p < TVG_CPU_PARTS; p++)
        all += tvg_cpu_chance(&profile->where.part[p]);
    return all;
}

double tvg_library_cpu(const struct tvg_profile *profile, const char *library)
{
    for (uint32_t i = 0; i < profile->where.library_count; i++)
        if (strcmp(profile->where.libraries[i].name, library) == 0)
            return profile->where.libraries[i].seconds;
    return profile->where.processes ? 0 : NAN;
}

enum { NAME_SHOWN = 34, NAME_TAIL = 12 };

char *tvg_show_object(char *out, size_t size, const struct tvg_cpu_object *object)
{
    char name[TVG_OBJECT_NAME_MAX * 2], cut[NAME_SHOWN + 1];
    size_t length = strlen(object->name);
    if (length > NAME_SHOWN) /* a hash: its ends tell it */
        snprintf(cut, sizeof cut, "%.*s...%s", NAME_SHOWN - NAME_TAIL - 3, object->name, object->name + length - NAME_TAIL);
    tvg_escape(name, sizeof name, length > NAME_SHOWN ? cut : object->name);
    switch (object->kind) {
    case TVG_OBJECT_FILE: snprintf(out, size, "%s", name); break;
    case TVG_OBJECT_MADE: snprintf(out, size, "code made at run time"); break;
    case TVG_OBJECT_COMPILED: snprintf(out, size, "compiled by the run: %s", name); break;
    case TVG_OBJECT_KERNEL: snprintf(out, size, "the kernel"); break;
    default: snprintf(out, size, "unknown code"); break;
    }
    return out;
}

static const char *kind_name(uint32_t kind)
{
    static const char *const names[] = {"file", "made_at_run_time", "compiled_by_the_run", "kernel", "unknown"};
    return names[kind < sizeof names / sizeof names[0] ? kind : TVG_OBJECT_UNKNOWN];
}

static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

json_t *tvg_cpu_json(const struct tvg_profile *profile)
{
    const struct tvg_cpu_where *where = &profile->where;
    json_t *root = json_object(), *objects = json_array(), *libraries = json_array();
    char shown[TVG_OBJECT_NAME_MAX * 4];
    double low, high;
    tvg_dark_share(profile, &low, &high);
    json_object_set_new(root, "seconds", number(profile->cpu_seconds));
    json_object_set_new(root, "dark_share", isfinite(low) && isfinite(high) ? json_pack("{s:f, s:f}", "low", fmin(1, low), "high", fmin(1, high)) : json_null());
    json_object_set_new(root, "sampled_processes", json_integer(where->processes));
    json_object_set_new(root, "samples", json_integer((json_int_t)where->samples));
    json_object_set_new(root, "samples_lost", json_integer((json_int_t)(where->lost <= INT64_MAX ? where->lost : INT64_MAX)));
    json_object_set_new(root, "kernel_sampled", json_boolean(where->kernel));
    json_object_set_new(root, "in_ops_s", number(where->op_seconds));
    json_object_set_new(root, "dark_s", number(where->dark_seconds));
    json_object_set_new(root, "before_s", number(where->before_seconds));
    json_object_set_new(root, "unsampled_s", number(where->unsampled_seconds));
    json_object_set_new(root, "all_s", number(where->all_seconds));
    json_object_set_new(root, "chance_s", number(tvg_dark_chance(profile)));
    for (uint32_t i = 0; i < where->library_count; i++)
        json_array_append_new(libraries, json_pack("{s:o, s:o}", "library", json_string(tvg_escape(shown, sizeof shown, where->libraries[i].name)), "seconds",
                                                   number(where->libraries[i].seconds)));
    json_object_set_new(root, "libraries", libraries);
    for (uint32_t i = 0; i < where->object_count; i++) {
        const struct tvg_cpu_object *object = &where->objects[i];
        json_array_append_new(objects, json_pack("{s:o, s:s, s:o, s:o}", "name", json_string(tvg_escape(shown, sizeof shown, object->name)), "kind",
                                                 kind_name(object->kind), "dark_s", number(object->dark_seconds), "in_ops_s", number(object->op_seconds)));
    }
    json_object_set_new(root, "objects", objects);
    return root;
}
