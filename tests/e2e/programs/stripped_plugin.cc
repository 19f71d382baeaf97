/* A plugin made like OpenVINO's as far as the shim looks at it: classes, vtables, edges, memory, descriptors. Not its code: its shape.
 * -DMOVED=1: the functions that execute have moved by two slots. -DSTRANGE=1: edges name another node. */
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

namespace ov {
namespace element {
struct __attribute__((visibility("default"))) Type {
    uint32_t number;
    std::string get_type_name() const;
};
} // namespace element
} // namespace ov

namespace dnnl {
namespace impl {
namespace cpu {
struct cpu_stream_t {
    virtual ~cpu_stream_t() {}
};
} // namespace cpu
} // namespace impl
struct stream {
    std::shared_ptr<impl::cpu::cpu_stream_t> handle;
};
} // namespace dnnl

namespace ov {
namespace intel_cpu {
using Dims = std::vector<uint64_t>;

struct Shape {
    uint8_t dynamic = 0;
    bool has_zero = false;
    Dims least, most, dims;
    explicit Shape(const Dims &d) : least(d), most(d), dims(d) {}
};

struct MemoryDesc {
    uint8_t kind = 1;
    Shape shape;
    explicit MemoryDesc(const Dims &d) : shape(d) {}
    virtual ~MemoryDesc() {}
    virtual element::Type getPrecision() const = 0;
};
struct BlockedMemoryDesc : virtual MemoryDesc {
    explicit BlockedMemoryDesc(const Dims &d) : MemoryDesc(d) {}
};
struct CpuBlockedMemoryDesc : BlockedMemoryDesc {
    Dims blocks;
    element::Type precision;
    CpuBlockedMemoryDesc(const Dims &d, uint32_t type) : MemoryDesc(d), BlockedMemoryDesc(d), blocks(d), precision{type} {}
    element::Type getPrecision() const override { return precision; }
};

struct MemoryBlockWithReuse {
    bool external = false;
    void *data;
    explicit MemoryBlockWithReuse(void *d) : data(d) {}
    virtual ~MemoryBlockWithReuse() {}
    virtual void *getRawPtr() const { return data; }
};
struct Memory {
    std::shared_ptr<MemoryDesc> desc;
    std::shared_ptr<MemoryBlockWithReuse> block;
    virtual ~Memory() {}
};

struct Edge;
#define UNUSED_SLOT(n) virtual int unused##n() { return n; }
struct Node {
    std::vector<Shape> inputShapes;
    std::vector<std::weak_ptr<Edge>> parentEdges, childEdges;
    std::string name, typeStr;
    virtual ~Node() {}
    UNUSED_SLOT(2) UNUSED_SLOT(3) UNUSED_SLOT(4) UNUSED_SLOT(5) UNUSED_SLOT(6) UNUSED_SLOT(7) UNUSED_SLOT(8) UNUSED_SLOT(9) UNUSED_SLOT(10)
    UNUSED_SLOT(11) UNUSED_SLOT(12) UNUSED_SLOT(13) UNUSED_SLOT(14) UNUSED_SLOT(15) UNUSED_SLOT(16) UNUSED_SLOT(17) UNUSED_SLOT(18) UNUSED_SLOT(19)
    UNUSED_SLOT(20) UNUSED_SLOT(21) UNUSED_SLOT(22) UNUSED_SLOT(23) UNUSED_SLOT(24) UNUSED_SLOT(25) UNUSED_SLOT(26) UNUSED_SLOT(27) UNUSED_SLOT(28)
    UNUSED_SLOT(29) UNUSED_SLOT(30) UNUSED_SLOT(31) UNUSED_SLOT(32) UNUSED_SLOT(33) UNUSED_SLOT(34) UNUSED_SLOT(35) UNUSED_SLOT(36) UNUSED_SLOT(37)
    UNUSED_SLOT(38) UNUSED_SLOT(39) UNUSED_SLOT(40)
    virtual int shapeInfer(int of) { return of + (int)parentEdges.size(); }
#if MOVED
    virtual int another(int of) { return of + (int)childEdges.size(); }
    virtual int third(int of) { return of + (int)name.size(); }
#endif
    virtual void execute(const dnnl::stream &stream) = 0;
    virtual void executeDynamicImpl(const dnnl::stream &stream) { execute(stream); }
};
struct Edge {
    std::weak_ptr<Node> parent, child;
    int parent_port, child_port;
    bool external = false;
    std::shared_ptr<Memory> memory;
};

int sink; /* what the nodes write, so that nothing is optimized away */
__attribute__((noinline)) void work(int n)
{
    for (int i = 0; i < n; i++)
        __asm__ volatile("" : "+m"(sink));
    sink += n;
}

__attribute__((noinline)) void prepare()
{
    __asm__ volatile("" : "+m"(sink));
}

namespace node {
struct Input : Node {
    void execute(const dnnl::stream &) override;
};
void Input::execute(const dnnl::stream &) { work(1); }
/* Its first bytes hold a call: such a function is never moved, and its slots are redirected. */
struct FullyConnected : Node {
    void execute(const dnnl::stream &) override;
};
void FullyConnected::execute(const dnnl::stream &)
{
    prepare();
    work(3);
    sink++;
}
struct MatMul : Node {
    int scale = 7;
    void execute(const dnnl::stream &) override;
};
void MatMul::execute(const dnnl::stream &stream)
{
    sink += scale * (stream.handle ? 1 : 2);
    work(scale);
}
/* Runs another node: what runs inside is what counts. */
struct Composite : Node {
    std::shared_ptr<Node> inner;
    void execute(const dnnl::stream &) override;
};
void Composite::execute(const dnnl::stream &stream)
{
    sink += (int)name.size();
    inner->execute(stream);
    sink++;
}
} // namespace node

/* As the plugin's nodes are made: a class behind the one that is known. */
template <typename T> struct NodeImpl : T {
    int unused2() override { return 20; }
};

static std::vector<std::shared_ptr<Node>> nodes;
static std::vector<std::shared_ptr<Edge>> edges;
static std::vector<std::unique_ptr<float[]>> buffers;

static void join(const std::shared_ptr<Node> &from, const std::shared_ptr<Node> &to, int port, const Dims &dims, uint32_t type, const char *name)
{
    auto edge = std::make_shared<Edge>();
    uint64_t elements = 1;
    for (uint64_t dim : dims)
        elements *= dim;
    buffers.emplace_back(new float[elements]());
    printf("%s %p %s\n", name, (void *)buffers.back().get(), element::Type{type}.get_type_name().c_str());
    edge->parent = from;
    edge->child = STRANGE ? from : to;
    edge->parent_port = 0, edge->child_port = port;
    edge->memory = std::make_shared<Memory>();
    edge->memory->desc = std::make_shared<CpuBlockedMemoryDesc>(dims, type);
    edge->memory->block = std::make_shared<MemoryBlockWithReuse>(buffers.back().get());
    from->childEdges.push_back(edge);
    to->parentEdges.push_back(edge);
    edges.push_back(edge);
}

template <typename T> static std::shared_ptr<Node> make(const char *name, const char *type)
{
    auto made = std::make_shared<NodeImpl<T>>();
    made->name = name;
    made->typeStr = type;
    nodes.push_back(made);
    return made;
}
} // namespace intel_cpu
} // namespace ov

using namespace ov::intel_cpu;

/* x[4, 6, 20] times w[10, 20] is y; y times v[4, 10, 8] is z. Each runs twice: by its executing function, and by the one for open sizes. Then
 * the second runs inside another node. */
extern "C" __attribute__((visibility("default"))) int run(void)
{
    auto x = make<node::Input>("x", "Input"), w = make<node::Input>("w", "Input"), v = make<node::Input>("v", "Input"), out = make<node::Input>("out", "Input");
    auto dense = make<node::FullyConnected>("dense", "FullyConnected"), product = make<node::MatMul>("product", "MatMul");
    join(x, dense, 0, {4, 6, 20}, 4, "x");
    join(w, dense, 1, {10, 20}, 4, "w");
    join(dense, product, 0, {4, 6, 10}, 4, "y");
    join(v, product, 1, {4, 10, 8}, 2, "v");
    join(product, out, 0, {4, 6, 8}, 4, "z");
    dnnl::stream stream{std::make_shared<dnnl::impl::cpu::cpu_stream_t>()};
    for (const auto &node : {dense, product}) {
        sink += node->shapeInfer(1);
#if MOVED
        sink += node->another(1) + node->third(2);
#endif
        node->execute(stream);
        node->executeDynamicImpl(stream);
    }
    auto around = make<node::Composite>("around", "Composite");
    static_cast<node::Composite *>(around.get())->inner = product;
    around->execute(stream);
    nodes.clear(), edges.clear(), buffers.clear();
    return sink;
}
