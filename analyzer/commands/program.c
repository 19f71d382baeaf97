/* Looking into a command before it runs; see program.h. */
#include "program.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#if defined(__x86_64__)
enum { OWN_MACHINE = EM_X86_64 };
#elif defined(__aarch64__)
enum { OWN_MACHINE = EM_AARCH64 };
#endif

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* 0, or why `path` can't be executed. */
static int executable(const char *path)
{
    struct stat status;
    if (stat(path, &status) != 0) return errno == EACCES ? TVG_EXIT_NOT_EXECUTABLE : TVG_EXIT_NOT_FOUND;
    if (!S_ISREG(status.st_mode) || access(path, X_OK) != 0) return TVG_EXIT_NOT_EXECUTABLE;
    return 0;
}

static int find_file(char *out, const char *name)
{
    if (!*name) return TVG_EXIT_NOT_FOUND;
    if (strchr(name, '/')) {
        snprintf(out, PATH_MAX, "%s", name);
        return executable(out);
    }
    const char *list = getenv("PATH");
    int worst = TVG_EXIT_NOT_FOUND;
    if (!list) list = "/bin:/usr/bin";
    for (const char *p = list;; p++) {
        size_t length = strcspn(p, ":");
        char candidate[PATH_MAX];
        int n = length ? snprintf(candidate, sizeof candidate, "%.*s/%s", (int)length, p, name) : snprintf(candidate, sizeof candidate, "./%s", name);
        if (n > 0 && n < PATH_MAX) {
            int code = executable(candidate);
            if (code == 0 || (code == TVG_EXIT_NOT_EXECUTABLE && worst == TVG_EXIT_NOT_FOUND)) memcpy(out, candidate, (size_t)n + 1);
            if (code == 0) return 0;
            if (code == TVG_EXIT_NOT_EXECUTABLE) worst = code;
        }
        p += length;
        if (!*p) return worst;
    }
}

static bool contains(const char *data, size_t length, const char *text)
{
    return memmem(data, length, text, strlen(text)) != NULL;
}

/* File offset of a virtual address, or `length` when no segment of the file holds it. */
static size_t offset_of(const Elf64_Phdr *headers, unsigned count, uint64_t address, size_t length)
{
    for (unsigned i = 0; i < count; i++)
        if (headers[i].p_type == PT_LOAD && address >= headers[i].p_vaddr && address - headers[i].p_vaddr < headers[i].p_filesz)
            return headers[i].p_offset + (address - headers[i].p_vaddr) < length ? headers[i].p_offset + (address - headers[i].p_vaddr) : length;
    return length;
}

static void look_into_dynamic(struct tvg_program *program, const char *data, size_t length, const Elf64_Phdr *headers, unsigned count, const Elf64_Phdr *dynamic)
{
    if (dynamic->p_offset > length || dynamic->p_filesz > length - dynamic->p_offset) return;
    size_t entries = dynamic->p_filesz / sizeof(Elf64_Dyn), strings = length;
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < entries; i++) {
            Elf64_Dyn entry;
            memcpy(&entry, data + dynamic->p_offset + i * sizeof entry, sizeof entry);
            if (entry.d_tag == DT_NULL) break;
            if (pass == 0 && entry.d_tag == DT_STRTAB) strings = offset_of(headers, count, entry.d_un.d_ptr, length);
            if (pass == 0 || entry.d_tag != DT_NEEDED || strings >= length || entry.d_un.d_val >= length - strings) continue;
            const char *name = data + strings + entry.d_un.d_val;
            size_t room = length - strings - entry.d_un.d_val, n = strnlen(name, room);
            if (n < room && n < sizeof program->asan && strncmp(name, "libasan.so", 10) == 0) memcpy(program->asan, name, n + 1);
        }
}

static void look_into_elf(struct tvg_program *program, const char *data, size_t length)
{
    Elf64_Ehdr header;
    if (length < sizeof header) return;
    memcpy(&header, data, sizeof header);
    if (memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) return;
    program->elf = true;
    if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_machine != OWN_MACHINE) {
        program->other_machine = true;
        return;
    }
    if (header.e_phentsize != sizeof(Elf64_Phdr) || header.e_phoff > length || (length - header.e_phoff) / sizeof(Elf64_Phdr) < header.e_phnum) return;
    Elf64_Phdr *headers = malloc((header.e_phnum + 1u) * sizeof *headers);
    if (!headers) return;
    memcpy(headers, data + header.e_phoff, header.e_phnum * sizeof *headers);
    for (unsigned i = 0; i < header.e_phnum; i++) {
        if (headers[i].p_type == PT_INTERP && headers[i].p_offset < length && headers[i].p_filesz <= length - headers[i].p_offset &&
            headers[i].p_filesz < sizeof program->loader)
            memcpy(program->loader, data + headers[i].p_offset, headers[i].p_filesz);
        if (headers[i].p_type == PT_DYNAMIC) look_into_dynamic(program, data, length, headers, header.e_phnum, &headers[i]);
    }
    free(headers);
    program->is_static = program->loader[0] == 0;
    program->asan_static = !program->asan[0] && !program->is_static && contains(data, length, "__asan_init") && contains(data, length, "AddressSanitizer:");
}

/* "#!/usr/bin/env -S python3 -u" or "#!/usr/bin/python3": the interpreter's name as it is looked up. False when it is no script. */
static bool interpreter_of(const char *data, size_t length, char *out)
{
    char line[512], *word[8] = {NULL}, *save = NULL;
    int count = 0;
    if (length < 3 || data[0] != '#' || data[1] != '!') return false;
    size_t n = 0;
    while (n < length - 2 && n < sizeof line - 1 && data[2 + n] != '\n') n++;
    memcpy(line, data + 2, n);
    line[n] = 0;
    for (char *p = strtok_r(line, " \t", &save); p && count < 7; p = strtok_r(NULL, " \t", &save)) word[count++] = p;
    if (!count) return false;
    int chosen = 0;
    if (strcmp(base_name(word[0]), "env") == 0)
        for (chosen = 1; chosen < count && (word[chosen][0] == '-' || strchr(word[chosen], '=')); chosen++) {}
    snprintf(out, PATH_MAX, "%s", chosen < count ? word[chosen] : word[0]);
    return true;
}

static void look_into(struct tvg_program *program, const char *path, int depth)
{
    struct stat status;
    char interpreter[PATH_MAX];
    bool script = false;
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (depth == 0) snprintf(program->binary, sizeof program->binary, "%s", path);
    /* what makes the loader ignore preloads: the program would run as another user or group, or with more rights, than the caller */
    if (depth == 0 && stat(path, &status) == 0)
        program->secure = (status.st_mode & S_ISUID && status.st_uid != getuid()) ||
                          ((status.st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) && status.st_gid != getgid()) ||
                          (getuid() != 0 && getxattr(path, "security.capability", NULL, 0) > 0);
    if (descriptor < 0) return;
    if (fstat(descriptor, &status) == 0 && status.st_size > 0) {
        size_t length = (size_t)status.st_size;
        char *data = mmap(NULL, length, PROT_READ, MAP_PRIVATE, descriptor, 0);
        if (data != MAP_FAILED) {
            script = interpreter_of(data, length, interpreter);
            if (!script) look_into_elf(program, data, length);
            munmap(data, length);
        }
    }
    close(descriptor);
    if (script && depth < 4) {
        char found[PATH_MAX];
        if (depth == 0) snprintf(program->script_interpreter, sizeof program->script_interpreter, "%s", interpreter);
        program->secure = false; /* the kernel ignores setuid on scripts */
        if (find_file(found, interpreter) != 0) return;
        memcpy(program->binary, found, sizeof found);
        look_into(program, found, depth + 1);
    }
}

int tvg_program_find(struct tvg_program *program, const char *name)
{
    static const char *const wrappers[] = {"sudo", "su", "doas", "pkexec", "ssh", "docker", "podman", "nerdctl", "systemd-run", "machinectl", "runuser", "chroot", "bwrap", "flatpak", "snap", NULL};
    memset(program, 0, sizeof *program);
    int code = find_file(program->path, name);
    if (!program->path[0]) snprintf(program->path, sizeof program->path, "%s", name);
    if (code) return code;
    for (int i = 0; wrappers[i]; i++)
        if (strcmp(base_name(program->path), wrappers[i]) == 0) program->through_wrapper = true;
    look_into(program, program->path, 0);
    return 0;
}

bool tvg_program_libraries(const struct tvg_program *program, void (*library)(const char *path, void *context), void *context)
{
    int ends[2], status;
    char line[PATH_MAX + 128];
    if (!program->loader[0] || pipe2(ends, O_CLOEXEC) != 0) return false;
    pid_t child = fork();
    if (child < 0) {
        close(ends[0]);
        close(ends[1]);
        return false;
    }
    if (child == 0) {
        int null = open("/dev/null", O_RDWR);
        dup2(null, 0);
        dup2(ends[1], 1);
        dup2(null, 2);
        unsetenv("LD_PRELOAD");
        execl(program->loader, program->loader, "--list", program->binary, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    FILE *in = fdopen(ends[0], "r");
    while (in && fgets(line, sizeof line, in)) {
        /* "\tlibm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x...)", "\tlibx.so => not found", "\t/lib64/ld-linux-x86-64.so.2 (0x...)" */
        char *start = line + strspn(line, " \t"), *arrow = strstr(start, " => "), *name = arrow ? arrow + 4 : start;
        char *end = strstr(name, " (0x");
        if (!end && arrow && strncmp(name, "not found", 9) == 0) {
            name = start;
            end = arrow;
        }
        if (!end) continue;
        *end = 0;
        library(name, context);
    }
    if (in) fclose(in);
    else close(ends[0]);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {}
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool tvg_shim_find(char path[PATH_MAX], struct tvg_error *error)
{
    static const char *const places[] = {"libtvgshim.so", "../lib/libtvgshim.so", "../lib/tvg/libtvgshim.so", "../lib64/libtvgshim.so"};
    char own[PATH_MAX] = "", candidate[PATH_MAX + 64];
    const char *given = getenv("TVG_SHIM");
    if (given && *given) {
        if (!realpath(given, path)) return tvg_fail(error, given, NULL, "set TVG_SHIM to the file libtvgshim.so, or unset it", "TVG_SHIM: %s", strerror(errno));
    } else {
        ssize_t n = readlink("/proc/self/exe", own, sizeof own - 1);
        own[n > 0 ? n : 0] = 0;
        char *slash = strrchr(own, '/');
        if (slash) *slash = 0;
        path[0] = 0;
        for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
            snprintf(candidate, sizeof candidate, "%s/%s", own, places[i]);
            if (realpath(candidate, path)) break;
            path[0] = 0;
        }
        if (!path[0]) return tvg_fail(error, "libtvgshim.so", NULL, "set TVG_SHIM to its path", "not found beside the tvg binary (%s) nor in ../lib", own);
    }
    if (access(path, R_OK) != 0) return tvg_fail(error, path, NULL, "make it readable", "%s", strerror(errno));
    if (strpbrk(path, " :;$\t\n"))
        return tvg_fail(error, path, NULL, "copy it to a path without blanks, colons and $, and set TVG_SHIM to that", "LD_PRELOAD cannot name this path");
    return true;
}

char *tvg_preload_value(const struct tvg_program *program, const char *shim)
{
    const char *before = getenv("LD_PRELOAD");
    char *value;
    bool asan = program->asan[0];
    bool more = before && *before && strcmp(before, shim) != 0;
    if (asprintf(&value, "%s%s%s%s%s", asan ? program->asan : "", asan ? ":" : "", shim, more ? ":" : "", more ? before : "") < 0) return NULL;
    return value;
}
