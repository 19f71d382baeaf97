/* NCCL: collectives between GPUs as ops with bytes and no FLOP. Inside a group (ncclGroupStart to ncclGroupEnd) the launches happen at its end:
 * they are tied to the group's first operation. Key: word 1 count, word 2 type | ranks << 8 | peer or root or operator << 40. */
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#include "gpu_call.h"

/* Bytes that this rank reads and writes, in counts of the call's `count`: r is the number of ranks. */
static const struct { const char *name; bool reads, reads_all, writes, writes_all; } collectives[] = {
    {"ncclAllReduce", true, false, true, false},     {"ncclReduceScatter", false, true, true, false}, {"ncclAllGather", true, false, false, true},
    {"ncclBroadcast", true, false, true, false},     {"ncclReduce", true, false, true, false},        {"ncclAlltoAll", false, true, false, true},
    {"ncclSend", true, false, false, false},         {"ncclRecv", false, false, true, false},
};
/* ncclDataType_t: int8 uint8 int32 uint32 int64 uint64 half float double bfloat16 fp8e4m3 fp8e5m2 */
static const uint8_t types[] = {TVG_TYPE_I8, TVG_TYPE_U8, TVG_TYPE_I32, TVG_TYPE_I32, TVG_TYPE_I64, TVG_TYPE_I64, TVG_TYPE_F16, TVG_TYPE_F32, TVG_TYPE_F64, TVG_TYPE_BF16,
                                TVG_TYPE_F8_E4M3, TVG_TYPE_F8_E5M2};

enum { PENDING = 32 };
static __thread struct {
    int depth;
    uint32_t count; /* of `pending`: whether they ran or were captured into a CUDA graph is known when the group ends */
    struct pending {
        uint32_t op_id;
        uint64_t start, end;
        const void *send, *receive;
    } pending[PENDING];
} group __attribute__((tls_model("initial-exec")));

typedef int comm_count(const void *comm, int *count);
static _Atomic(comm_count *) get_ranks;

static int ranks_of(const void *target, const void *comm)
{
    comm_count *get = atomic_load_explicit(&get_ranks, memory_order_acquire);
    int ranks = 0;
    if (!get) {
        void *handle = tvg_library_handle(target);
        void *symbol = handle ? dlsym(handle, "ncclCommCount") : NULL;
        if (!symbol) return 0;
        get = (comm_count *)(uintptr_t)symbol;
        atomic_store_explicit(&get_ranks, get, memory_order_release);
    }
    return get(comm, &ranks) == 0 && ranks > 0 ? ranks : 0;
}

tvg_describe tvg_nccl_describe;
void tvg_nccl_describe(const struct tvg_entry *entry, const struct tvg_key *key, struct tvg_op *op)
{
    unsigned type = key->word[2] & 0xff;
    uint64_t ranks = (uint32_t)(key->word[2] >> 8);
    op->kind = TVG_KIND_COLLECTIVE;
    op->on_gpu = 1;
    op->type_a = op->type_c = type < sizeof types ? types[type] : TVG_TYPE_NONE;
    op->m = (int64_t)key->word[1];
    op->flags |= TVG_OP_FLOP_GIVEN;
    op->dim_count = 1;
    op->dim[0] = (int64_t)ranks;
    uint64_t once = tvg_type_bytes(op->type_a, key->word[1]);
    for (size_t i = 0; i < sizeof collectives / sizeof collectives[0]; i++)
        if (strcmp(entry->name, collectives[i].name) == 0) {
            op->bytes_a = collectives[i].reads_all ? once * ranks : collectives[i].reads ? once : 0;
            op->bytes_c = collectives[i].writes_all ? once * ranks : collectives[i].writes ? once : 0;
        }
    op->bytes = op->bytes_a + op->bytes_c;
}

static bool postpone(const struct tvg_slot *slot, uint64_t start, const void *send, const void *receive)
{
    if (!group.depth || group.count == PENDING || slot->op_id >= TVG_OP_ID_LIMIT) return false;
    group.pending[group.count++] = (struct pending){slot->op_id, start, tvg_now(), send, receive};
    return true;
}

/* `extra`: the operator, root or peer. */
static struct tvg_slot *slot_of(struct tvg_call *call, const struct tvg_entry *entry, const void *target, const void *caller, size_t count, int type, const void *comm,
                                unsigned extra)
{
    struct tvg_key key = {{entry->number, count, (uint64_t)(type & 0xff) | (uint64_t)(uint32_t)ranks_of(target, comm) << 8 | (uint64_t)extra << 40, 0, 0, (uintptr_t)caller}};
    return tvg_slot_find(call, entry, &key);
}

/* Common to all: what differs is how the real function is called. */
#define COLLECTIVE(RUN, SEND, RECEIVE, EXTRA)                                                                                                   \
    TVG_GPU_BODY(int, RUN, slot_of(&call, entry, target, caller, count, type, comm, EXTRA), returned, postpone(slot, call.start, SEND, RECEIVE), \
                 SEND, NULL, RECEIVE)

/* ncclAllReduce, ncclReduceScatter (`which` is the operator), ncclBroadcast (the root) */
typedef int rooted(const void *send, void *receive, size_t count, int type, int which, void *comm, void *stream);
rooted tvg_hook_nccl_rooted;
TVG_HOOK_BODY int tvg_hook_nccl_rooted(const void *send, void *receive, size_t count, int type, int which, void *comm, void *stream)
{
    COLLECTIVE(TVG_FUNCTION(rooted, target)(send, receive, count, type, which, comm, stream), send, receive, (unsigned)which & 0xffff);
}

/* ncclReduce: an operator and a root */
typedef int reduce(const void *send, void *receive, size_t count, int type, int operation, int root, void *comm, void *stream);
reduce tvg_hook_nccl_reduce;
TVG_HOOK_BODY int tvg_hook_nccl_reduce(const void *send, void *receive, size_t count, int type, int operation, int root, void *comm, void *stream)
{
    COLLECTIVE(TVG_FUNCTION(reduce, target)(send, receive, count, type, operation, root, comm, stream), send, receive, ((unsigned)operation & 0xff) | ((unsigned)root & 0xffff) << 8);
}

/* ncclAllGather, ncclAlltoAll */
typedef int gather(const void *send, void *receive, size_t count, int type, void *comm, void *stream);
gather tvg_hook_nccl_gather;
TVG_HOOK_BODY int tvg_hook_nccl_gather(const void *send, void *receive, size_t count, int type, void *comm, void *stream)
{
    COLLECTIVE(TVG_FUNCTION(gather, target)(send, receive, count, type, comm, stream), send, receive, 0u);
}

/* ncclSend, ncclRecv */
typedef int one_sided(void *buffer, size_t count, int type, int peer, void *comm, void *stream);
one_sided tvg_hook_nccl_one_sided;
TVG_HOOK_BODY int tvg_hook_nccl_one_sided(void *buffer, size_t count, int type, int peer, void *comm, void *stream)
{
    COLLECTIVE(TVG_FUNCTION(one_sided, target)(buffer, count, type, peer, comm, stream), buffer, NULL, (unsigned)peer & 0xffff);
}

int tvg_hook_ncclGroupStart(void);
TVG_HOOK_BODY int tvg_hook_ncclGroupStart(void)
{
    TVG_TAKE_ENTRY(entry);
    if (group.depth++ == 0) group.count = 0;
    return ((int (*)(void))(uintptr_t)tvg_target(entry, __builtin_return_address(0)))();
}

int tvg_hook_ncclGroupEnd(void);
TVG_HOOK_BODY int tvg_hook_ncclGroupEnd(void)
{
    TVG_TAKE_ENTRY(entry);
    int (*real)(void) = (int (*)(void))(uintptr_t)tvg_target(entry, __builtin_return_address(0));
    if (group.depth > 0) group.depth--;
    if (group.depth || !group.count) return real();
    tvg_gpu_launches_begin(group.pending[0].op_id);
    const int status = real(), saved = errno;
    const bool ran = tvg_gpu_call_ran(entry, status);
    for (uint32_t i = 0; ran && i < group.count; i++) {
        const struct pending *one = &group.pending[i];
        tvg_op_record(one->op_id, one->start, one->end, one->send, NULL, one->receive);
    }
    group.count = 0;
    errno = saved;
    return status;
}
