/* A command under the shim: the folder of its traces, its environment, signals passed on, and what its traces tell afterwards. */
#include "recording.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../reader.h"
#include "../sources_decode.h"
#include "command.h"
#include "watch.h"

/* --- the run's folder --------------------------------------------------------------------------------------------------------- */

static bool is_empty_folder(const char *path)
{
    DIR *folder = opendir(path);
    bool empty = true;
    if (!folder) return false;
    for (struct dirent *entry; empty && (entry = readdir(folder));) empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
    closedir(folder);
    return empty;
}

/* Makes the folder `wanted`, or tvg-COMMAND-TIME when it is NULL; its absolute path in `path`, how to name it to people in `shown`. */
static bool make_run(const char *wanted, const char *command, char path[PATH_MAX], char shown[PATH_MAX], bool *made, struct tvg_error *error)
{
    *made = true;
    if (wanted) {
        snprintf(shown, PATH_MAX, "%s", wanted);
        if (mkdir(wanted, 0700) != 0) {
            *made = false;
            if (errno != EEXIST) return tvg_fail(error, wanted, NULL, "choose another folder with -o", "cannot be made: %s", strerror(errno));
            if (!is_empty_folder(wanted)) return tvg_fail(error, wanted, NULL, "choose another name with -o, or remove it", "exists and is not an empty folder");
        }
    } else {
        char name[64], moment[32];
        const char *slash = strrchr(command, '/');
        time_t now = time(NULL);
        struct tm parts;
        snprintf(name, sizeof name, "%s", slash ? slash + 1 : command);
        for (char *p = name; *p; p++)
            if ((unsigned char)*p <= ' ' || *p == '%' || (unsigned char)*p >= 127) *p = '_';
        strftime(moment, sizeof moment, "%Y%m%d-%H%M%S", localtime_r(&now, &parts));
        for (int i = 1; i < 100; i++) {
            if (i == 1) snprintf(shown, PATH_MAX, "tvg-%s-%s", name, moment);
            else snprintf(shown, PATH_MAX, "tvg-%s-%s.%d", name, moment, i);
            if (mkdir(shown, 0700) == 0) break;
            if (errno != EEXIST || i == 99) return tvg_fail(error, shown, NULL, "go to a folder that is writable, or choose one with -o", "cannot be made: %s", strerror(errno));
        }
    }
    if (!realpath(shown, path)) return tvg_fail(error, shown, NULL, NULL, "%s", strerror(errno));
    return true;
}

/* TVG_OUT for the run: its folder with '%' doubled, then a name for each process. malloc'ed. */
static char *output_template(const char *folder)
{
    char *out = malloc(2 * strlen(folder) + 32), *p = out;
    if (!out) return NULL;
    for (; *folder; folder++) {
        if (*folder == '%') *p++ = '%';
        *p++ = *folder;
    }
    strcpy(p, "/%c-%p.tvg");
    return out;
}

/* --- running CMD ----------------------------------------------------------------------------------------------------------------- */

static const int forwarded[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
enum { FORWARDED = sizeof forwarded / sizeof forwarded[0] };
static volatile pid_t child;

/* What the terminal sends goes to CMD too, by itself: only what a process sent us is passed on. */
static void forward(int number, siginfo_t *info, void *context)
{
    int saved = errno;
    (void)context;
    if (child > 0 && info->si_code <= 0) kill(child, number);
    errno = saved;
}

static void run_by_shell(const char *path, char **argv)
{
    int count = 0;
    while (argv[count]) count++;
    char **words = calloc((size_t)count + 2, sizeof *words), shell[] = "/bin/sh", script[PATH_MAX];
    if (!words) return;
    snprintf(script, sizeof script, "%s", path);
    words[0] = shell;
    words[1] = script;
    for (int i = 1; i < count; i++) words[i + 1] = argv[i];
    execv(shell, words);
}

/* Runs the command and waits. Returns its wait status, or -1 with errno when it could not be executed. `folder`: where its traces go, when CPU time that
 * the shim does not see is to be sampled from here. */
static int run(const char *path, char **argv, const char *folder, const char *shim)
{
    sigset_t set, before;
    struct sigaction old[FORWARDED];
    int failure[2], cause = 0, status = 0;
    if (pipe2(failure, O_CLOEXEC) != 0) return -1;
    sigemptyset(&set);
    for (int i = 0; i < FORWARDED; i++) sigaddset(&set, forwarded[i]);
    sigprocmask(SIG_BLOCK, &set, &before);
    child = fork();
    if (child < 0) {
        cause = errno;
        sigprocmask(SIG_SETMASK, &before, NULL);
        close(failure[0]);
        close(failure[1]);
        errno = cause;
        return -1;
    }
    if (child == 0) {
        sigprocmask(SIG_SETMASK, &before, NULL);
        execv(path, argv);
        cause = errno;
        if (cause == ENOEXEC) run_by_shell(path, argv); /* a script without "#!", as shells and env do */
        ssize_t written = write(failure[1], &cause, sizeof cause);
        _exit(written == sizeof cause ? TVG_EXIT_NOT_EXECUTABLE : TVG_EXIT_NOT_FOUND);
    }
    close(failure[1]);
    for (int i = 0; i < FORWARDED; i++) {
        struct sigaction action = {.sa_sigaction = forward, .sa_flags = SA_SIGINFO | SA_RESTART};
        sigaction(forwarded[i], NULL, &old[i]);
        if (old[i].sa_handler != SIG_IGN) sigaction(forwarded[i], &action, NULL);
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    ssize_t got;
    do got = read(failure[0], &cause, sizeof cause);
    while (got < 0 && errno == EINTR);
    close(failure[0]);
    struct tvg_watch *watch = folder && got != (ssize_t)sizeof cause ? tvg_watch_start(child, folder, shim) : NULL;
    siginfo_t about;
    while (waitid(P_PID, (id_t)child, &about, WEXITED | WNOWAIT) < 0 && errno == EINTR) {}
    if (watch) tvg_watch_end(watch);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {}
    child = 0;
    tvg_watch_write(watch);
    for (int i = 0; i < FORWARDED; i++) sigaction(forwarded[i], &old[i], NULL);
    if (got != (ssize_t)sizeof cause) return status;
    errno = cause;
    return -1;
}

/* --- the summary -------------------------------------------------------------------------------------------------------------------- */

struct note {
    char what[64], subject[128], detail[256];
};

static void take_pair(const char *key, const char *value, void *context)
{
    struct note *note = context;
    if (strcmp(key, "what") == 0) snprintf(note->what, sizeof note->what, "%s", value);
    if (strcmp(key, "subject") == 0) snprintf(note->subject, sizeof note->subject, "%s", value);
    if (strcmp(key, "detail") == 0) snprintf(note->detail, sizeof note->detail, "%s", value);
}

static void take_note(struct tvg_seen *seen, const struct tvg_event *event)
{
    struct note note = {"", "", ""};
    if (!tvg_manifest_read(event->payload, event->length, take_pair, &note)) return;
    if (strcmp(note.what, "library") == 0) seen->shim_saw_library = true;
    if (strcmp(note.what, "not-crash-safe") == 0) seen->not_crash_safe++;
    if (strcmp(note.what, "found-not-catchable") == 0 && !seen->found[0]) snprintf(seen->found, sizeof seen->found, "%s", note.subject);
    if (strcmp(note.what, "not-entered") == 0) snprintf(seen->not_entered, sizeof seen->not_entered, "%s", note.detail);
    if (strcmp(note.what, "child-without-preload") == 0) {
        if (!seen->children_lost++) snprintf(seen->child_lost, sizeof seen->child_lost, "%s: %s", note.subject, note.detail);
    }
    if (strcmp(note.what, "source-refused") == 0 && !seen->refused[0])
        snprintf(seen->refused, sizeof seen->refused, "%.60s: %s", note.subject, note.detail);
}

static void look_at_trace(struct tvg_seen *seen, const char *path)
{
    struct tvg_error error;
    struct tvg_reader *reader;
    struct tvg_event event;
    struct stat status;
    uint64_t ops = 0;
    if (stat(path, &status) == 0) seen->bytes += (uint64_t)status.st_size;
    seen->traces++;
    if (!tvg_reader_open(&reader, path, &error)) {
        seen->unreadable++;
        return;
    }
    while (tvg_reader_next(reader, &event) == 1) {
        if (event.kind == TVG_EVENT_OPS) ops += event.info->count;
        else if (event.block == TVG_BLOCK_COVERAGE) take_note(seen, &event);
    }
    const struct tvg_damage *damage = tvg_reader_damage(reader);
    if (damage->no_end) seen->unfinished++;
    seen->lost += damage->ops_lost;
    seen->ops += ops;
    if (!ops) seen->without_ops++;
    tvg_reader_close(reader);
}

static void look_at_run(struct tvg_seen *seen, const char *folder)
{
    struct dirent **entries;
    int count = scandir(folder, &entries, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        char path[PATH_MAX + 300];
        size_t length = strlen(entries[i]->d_name);
        snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
        if (strstr(entries[i]->d_name, ".tvg") && !(length > 6 && strcmp(entries[i]->d_name + length - 6, ".rings") == 0)) look_at_trace(seen, path);
        free(entries[i]);
    }
    if (count >= 0) free(entries);
}

/* 1234567 as "1,234,567". */
static const char *grouped(uint64_t value, char out[32])
{
    char digits[24];
    int n = snprintf(digits, sizeof digits, "%" PRIu64, value), used = 0;
    for (int i = 0; i < n; i++) {
        if (i && (n - i) % 3 == 0) out[used++] = ',';
        out[used++] = digits[i];
    }
    out[used] = 0;
    return out;
}

static const char *size_text(uint64_t bytes, char out[32])
{
    if (bytes < 10240) snprintf(out, 32, "%" PRIu64 " bytes", bytes);
    else if (bytes < 10 << 20) snprintf(out, 32, "%.0f KiB", (double)bytes / 1024);
    else snprintf(out, 32, "%.1f MiB", (double)bytes / 1048576);
    return out;
}

static void say_why_nothing(const struct tvg_program *program, const struct tvg_seen *seen)
{
    if (program->is_static) fprintf(stderr, "  because it is statically linked: no preload reaches it\n");
    else if (program->secure) fprintf(stderr, "  because it is setuid, setgid or has file capabilities: the loader ignores preloads there\n");
    else if (program->other_machine) fprintf(stderr, "  because it is built for another processor or word size than the shim\n");
    else if (program->through_wrapper) fprintf(stderr, "  because it starts the real command with another environment: put tvg record behind it\n");
    else if (seen->not_entered[0]) fprintf(stderr, "  because %s\n", seen->not_entered);
    else if (seen->found[0]) fprintf(stderr, "  a library was seen, but it can't be caught: %s (tvg coverage tells more)\n", seen->found);
    else fprintf(stderr, "  no function that tvg stands in for was called: no BLAS in use, or one linked in statically, or a child that cleared its environment\n"
                         "  tvg doctor -- CMD shows what it links\n");
}

void tvg_recording_summary(const struct tvg_recording *recording, bool quiet)
{
    const struct tvg_seen *seen = &recording->seen;
    char ops[32], size[32], name[512], text[640];
    tvg_escape(name, sizeof name, recording->folder);
    if (!quiet && seen->traces)
        fprintf(stderr, "tvg %s: %s ops in %" PRIu32 " process%s, %s in %s\n", recording->name, grouped(seen->ops, ops), seen->traces, seen->traces == 1 ? "" : "es",
                size_text(seen->bytes, size), name);
    if (!seen->ops) {
        if (!seen->traces) fprintf(stderr, "tvg %s: no operation was seen%s\n", recording->name, recording->gone ? ", no trace was written" : "");
        say_why_nothing(&recording->program, seen);
    }
    if (seen->lost) fprintf(stderr, "  lost: %s ops could not be written (disk full or a file-size limit?)\n", grouped(seen->lost, ops));
    if (seen->unreadable) fprintf(stderr, "  %" PRIu32 " trace%s can't be read: tvg check %s\n", seen->unreadable, seen->unreadable == 1 ? "" : "s", name);
    if (seen->unfinished)
        fprintf(stderr, "  %" PRIu32 " process%s did not end cleanly (killed, _exit, or still running): what was finished until then is there\n", seen->unfinished,
                seen->unfinished == 1 ? "" : "es");
    if (seen->children_lost)
        fprintf(stderr, "  %" PRIu32 " process%s ran without the shim, the first: %s\n", seen->children_lost, seen->children_lost == 1 ? "" : "es",
                tvg_escape(text, sizeof text, seen->child_lost));
    if (!quiet && seen->refused[0]) fprintf(stderr, "  not sampled: %s\n", tvg_escape(text, sizeof text, seen->refused));
    if (!quiet && seen->ops) fprintf(stderr, "  next: tvg report %s\n", name);
    else if (!quiet && seen->traces) fprintf(stderr, "  where its CPU time went: tvg coverage %s\n", name);
}

/* --- all of it ----------------------------------------------------------------------------------------------------------------------- */

static bool set_environment(const struct tvg_recording *recording, const char *folder, const char *shim)
{
    char *template = output_template(folder), *preload = tvg_preload_value(&recording->program, shim);
    bool set = template && preload && setenv("TVG_OUT", template, 1) == 0 && setenv("LD_PRELOAD", preload, 1) == 0 && setenv("TVG_WITHOUT_OPS", "1", 1) == 0 &&
               (recording->sources ? setenv("TVG_SOURCES", recording->sources, 1) : setenv("TVG_SOURCES", "+dark?", 0)) == 0 &&
               (!recording->operations || setenv("TVG_OPS", recording->operations, 1) == 0) && (!recording->stacks || setenv("TVG_STACKS", "1", 1) == 0);
    free(template);
    free(preload);
    return set;
}

int tvg_recording_run(struct tvg_recording *recording, char **command)
{
    const struct tvg_program *program = &recording->program;
    struct tvg_error error;
    bool made;
    char shim[PATH_MAX], folder[PATH_MAX], text[512];
    tvg_escape(text, sizeof text, command[0]);
    int code = tvg_program_find(&recording->program, command[0]);
    if (code) {
        fprintf(stderr, "tvg %s: %s: %s\n", recording->name, text, code == TVG_EXIT_NOT_FOUND ? "command not found" : "not executable");
        return code;
    }
    if (!tvg_shim_find(shim, &error) || !make_run(recording->output, recording->label, folder, recording->folder, &made, &error))
        return tvg_command_fail(recording->name, &error);
    if (program->is_static || program->secure || program->other_machine)
        fprintf(stderr, "tvg %s: %s %s: it runs, but can't be recorded\n", recording->name, text,
                program->is_static ? "is statically linked" : program->secure ? "is setuid, setgid or has file capabilities" : "is built for another processor or word size");
    if (!set_environment(recording, folder, shim)) return TVG_EXIT_BAD;

    recording->status = run(program->path, command, tvg_watch_wanted(recording->sources ? recording->sources : getenv("TVG_SOURCES")) ? folder : NULL, shim);
    int cause = errno;
    unsetenv("LD_PRELOAD");
    look_at_run(&recording->seen, folder);
    if (!recording->seen.traces && made) recording->gone = rmdir(folder) == 0;
    if (recording->status != -1) return TVG_EXIT_OK;
    fprintf(stderr, "tvg %s: %s: %s\n", recording->name, text, strerror(cause));
    return cause == ENOENT || cause == ENOTDIR ? TVG_EXIT_NOT_FOUND : TVG_EXIT_NOT_EXECUTABLE;
}
