/* Beside stripped_plugin.cc: the library that knows the names of element types. */
#include <cstdint>
#include <string>

namespace ov {
namespace element {
struct Type {
    uint32_t number;
    std::string get_type_name() const;
};
std::string Type::get_type_name() const { return number == 4 ? "f32" : number == 2 ? "bf16" : "something else"; }
} // namespace element
} // namespace ov
