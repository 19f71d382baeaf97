/* What happens when the library is loaded: the environment is read, once, and nothing else: no file, no memory, no thread.
 * Variables: TVG_OUT (template of the trace's path), TVG_LOG (1: lines on stderr), TVG_OPS (products, all), TVG_DICTIONARY_MAX (distinct ops with
 * an id), TMPDIR. */
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "../sources/source.h"
#include "state.h"
#include "sys.h"

struct tvg_settings tvg_settings;

enum { DICTIONARY_DEFAULT = 1 << 18, DICTIONARY_LIMIT = TVG_OP_ID_LIMIT };

static void set_command(const char *argument)
{
    const char *base = argument && *argument ? argument : "unknown";
    const char *slash = strrchr(base, '/');
    if (slash && slash[1]) base = slash + 1;
    size_t used = 0;
    for (; *base && used + 1 < sizeof tvg_settings.command; base++)
        tvg_settings.command[used++] = (unsigned char)*base < ' ' || *base == '/' ? '_' : *base;
    tvg_settings.command[used] = 0;
}

/* The folder is that of the moment of loading: a host may change its own later. */
static void set_out(const char *template)
{
    char *out = tvg_settings.out;
    size_t used = 0, capacity = sizeof tvg_settings.out - 64; /* room for what the template's signs grow to is checked when it is expanded */
    if (!template || !*template) template = "tvg-%c-%p.tvg";
    if (*template != '/') {
        long got = tvg_sys6(SYS_getcwd, (long)out, (long)capacity, 0, 0, 0, 0);
        if (got <= 1 || out[0] != '/') {
            tvg_settings.out[0] = 0; /* no folder: the private one will do */
            return;
        }
        /* A percent sign in the folder's own name is no template. */
        char folder[TVG_PATH_MAX];
        memcpy(folder, out, (size_t)got);
        for (size_t i = 0; folder[i] && used + 3 < capacity; i++) {
            if (folder[i] == '%') out[used++] = '%';
            out[used++] = folder[i];
        }
        out[used] = 0;
        used = tvg_text_add(out, capacity, used, "/");
    }
    used = tvg_text_add(out, capacity, used, template);
    if (out[used - 1] == '/') tvg_text_add(out, capacity, used, "tvg-%c-%p.tvg");
}

static void set_operations(const char *which)
{
    tvg_settings.all_operations = which && strcmp(which, "all") == 0;
    if (which && *which && !tvg_settings.all_operations && strcmp(which, "products") != 0)
        tvg_note("setting-refused", "TVG_OPS", "neither \"products\" nor \"all\": products are recorded");
}

bool tvg_all_operations(void)
{
    return tvg_settings.all_operations;
}

void tvg_load(int argc, char **argv, char **envp)
{
    static bool done;
    if (done) return;
    done = true;
    (void)argc;
#if defined(__x86_64__)
    tvg_settings.load_ticks = __builtin_ia32_rdtsc();
#else
    tvg_settings.load_ticks = tvg_now();
#endif
    tvg_settings.load_mono_ns = tvg_clock_monotonic();
    if (!environ && envp) environ = envp;
    set_command(argv ? argv[0] : NULL);
    if (getauxval(AT_SECURE)) {
        tvg_settings.off = true;
        return;
    }
    const char *log = secure_getenv("TVG_LOG");
    tvg_settings.log = log && *log && strcmp(log, "0") != 0;
    const char *without = secure_getenv("TVG_WITHOUT_OPS");
    tvg_settings.without_ops = without && *without && strcmp(without, "0") != 0;
    set_out(secure_getenv("TVG_OUT"));
    set_operations(secure_getenv("TVG_OPS"));
    const char *temporary = secure_getenv("TMPDIR");
    if (!temporary || *temporary != '/' || strlen(temporary) >= sizeof tvg_settings.temporary) temporary = "/tmp";
    strcpy(tvg_settings.temporary, temporary);
    const char *most = secure_getenv("TVG_DICTIONARY_MAX");
    unsigned long dictionary = most && *most >= '0' && *most <= '9' ? strtoul(most, NULL, 10) : DICTIONARY_DEFAULT;
    tvg_settings.dictionary_max = (uint32_t)(dictionary > DICTIONARY_LIMIT ? DICTIONARY_LIMIT : dictionary);
    tvg_sources_configure();
}
