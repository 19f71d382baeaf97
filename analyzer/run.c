/* Lists the traces of a run. */
#include "run.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static bool add(char ***files, uint32_t *count, char *file)
{
    char **longer = file ? realloc(*files, (*count + 1) * sizeof *longer) : NULL;
    if (!longer) {
        free(file);
        return false;
    }
    *files = longer;
    longer[(*count)++] = file;
    return true;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

bool tvg_run_list(const char *path, char ***files, uint32_t *count, struct tvg_error *error)
{
    struct stat status;
    *files = NULL;
    *count = 0;
    if (stat(path, &status) != 0)
        return tvg_fail(error, path, NULL, errno == ENOENT ? "check the path" : NULL, "%s", strerror(errno));
    if (!S_ISDIR(status.st_mode))
        return add(files, count, strdup(path)) || tvg_fail(error, path, NULL, NULL, "no memory");
    DIR *folder = opendir(path);
    if (!folder)
        return tvg_fail(error, path, NULL, "check who may read it", "%s", strerror(errno));
    bool held = true;
    for (struct dirent *entry; held && (entry = readdir(folder));) {
        size_t length = strlen(entry->d_name);
        char *file;
        if (length > 4 && strcmp(entry->d_name + length - 4, ".tvg") == 0)
            held = asprintf(&file, "%s/%s", path, entry->d_name) > 0 && add(files, count, file);
    }
    closedir(folder);
    if (!held) {
        tvg_run_free(*files, *count);
        return tvg_fail(error, path, NULL, NULL, "no memory");
    }
    if (*count == 0)
        return tvg_fail(error, path, NULL, "record one with: tvg record -o RUN -- CMD", "a folder without traces (*.tvg)");
    qsort(*files, *count, sizeof **files, by_name);
    return true;
}

void tvg_run_free(char **files, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        free(files[i]);
    free(files);
}
