// The emulator's encoder of tensor maps: it notes what it was told.
#include "csrc/tensor_map.hpp"

namespace pylayers {

ptx::TensorMap encode(TensorMapSpec const& spec) {
    ptx::TensorMap map{};
    map.magic = emulator::kMapMagic;
    map.rank = uint8_t(spec.rank);
    map.element_bytes = uint8_t(info(spec.dtype).bytes);
    map.swizzle_bytes = uint8_t(spec.swizzle_bytes);
    map.im2col = spec.im2col;
    map.tf32 = spec.tf32;
    map.data = static_cast<std::byte*>(const_cast<void*>(spec.data));
    map.dtype = spec.dtype;
    for (int i = 0; i < spec.rank; ++i) {
        map.last[i] = uint32_t(spec.sizes[i] - 1);
        map.element_strides[i] = uint8_t(spec.element_strides[i]);
        if (i > 0) map.strides[i - 1] = uint64_t(spec.strides[i]) * map.element_bytes;
    }
    for (int i = 0; i < (spec.im2col ? 2 : spec.rank); ++i) map.box[i] = uint16_t(spec.box[i]);
    for (int i = 0; spec.im2col && i < spec.rank - 2; ++i) {
        map.lower[i] = int16_t(spec.lower[i]);
        map.upper[i] = int16_t(spec.upper[i]);
    }
    return map;
}

}  // namespace pylayers
