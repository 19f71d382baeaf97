/* decode_floor TRACE: reads a trace, checks every checksum, decompresses and varint-decodes every OPS block, and does nothing else: what
 * any reader has to do at least, and what `tvg report` is compared with. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../trace/block.h"

enum { WINDOW = 1 << 20 };

int main(int argc, char **argv)
{
    int file = argc == 2 ? open(argv[1], O_RDONLY | O_CLOEXEC) : -1;
    uint8_t *window = malloc(WINDOW);
    struct tvg_ops_columns *columns = malloc(sizeof *columns);
    void *scratch = malloc(TVG_OPS_DECODE_SCRATCH);
    if (file < 0 || !window || !columns || !scratch) {
        fprintf(stderr, "usage: decode_floor TRACE.tvg\n");
        return 2;
    }
    ssize_t got;
    size_t held = 0, at = 0, size = 0;
    uint64_t ops = 0, sum = 0;
    struct tvg_file_header file_header;
    char strings[4096];
    while ((got = read(file, window + held, WINDOW - held)) > 0) {
        held += (size_t)got;
        if (!size) {
            if (tvg_decode_file_header(window, held, &file_header, &size, strings, sizeof strings) != TVG_HEADER_OK)
                return 2;
            at = size;
        }
        struct tvg_block_header header;
        while (held - at >= sizeof header) {
            memcpy(&header, window + at, sizeof header);
            if (tvg_block_header_check(&header) != 0 || header.length > WINDOW / 2)
                return 2;
            if (held - at < sizeof header + header.length)
                break;
            const uint8_t *payload = window + at + sizeof header;
            if (tvg_block_payload_check(&header, payload) != 0)
                return 2;
            if (header.kind == TVG_BLOCK_OPS) {
                struct tvg_ops_info info;
                struct tvg_ops_extra extra;
                if (tvg_decode_ops(payload, header.length, file_header.grid_shift, &info, columns, &extra, scratch) != 0)
                    return 2;
                ops += info.count;
                sum += info.count ? columns->start[info.count - 1] ^ columns->c[info.count - 1] : 0;
            }
            at += sizeof header + header.length;
        }
        memmove(window, window + at, held - at);
        held -= at;
        at = 0;
    }
    printf("%llu ops, %016llx\n", (unsigned long long)ops, (unsigned long long)sum);
    return held == 0 ? 0 : 2;
}
