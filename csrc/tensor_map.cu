// The conditions of cuTensorMapEncodeTiled and cuTensorMapEncodeIm2col, and the cache of encoded maps.
#include "csrc/tensor_map.hpp"

#include <algorithm>
#include <memory>
#include <mutex>

namespace pylayers {
namespace {

std::string expected(std::string const& what, std::string const& wanted, int64_t got) {
    return what + ": expected " + wanted + ", got " + std::to_string(got);
}
std::string of(char const* what, int dimension) { return std::string(what) + "[" + std::to_string(dimension) + "]"; }

bool copyable(DType dtype) { return dtype != DType::kFloat64 && dtype != DType::kInt64 && dtype != DType::kBool; }

std::string why_no_tensor(TensorMapSpec const& s) {
    if (!copyable(s.dtype)) return "dtype: expected one of 1, 2 or 4 bytes, got " + std::string(info(s.dtype).name);
    if (s.tf32 && s.dtype != DType::kFloat32)
        return "dtype: expected float32 for tf32, got " + std::string(info(s.dtype).name);
    if (s.rank < (s.im2col ? 3 : 2) || s.rank > kMapRank)
        return expected("rank", s.im2col ? "3 to 5" : "2 to 5", s.rank);
    if (auto const address = int64_t(reinterpret_cast<std::uintptr_t>(s.data)); !address || address % 16)
        return expected("data", "an address that is a multiple of 16", address);
    int64_t const bytes = info(s.dtype).bytes;
    for (int i = 0; i < s.rank; ++i)
        if (s.sizes[i] < 1 || s.sizes[i] > (int64_t(1) << 32))
            return expected(of("sizes", i), "1 to 2**32", s.sizes[i]);
    if (s.strides[0] != 1) return expected("strides[0]", "1, neighbours in memory", s.strides[0]);
    for (int i = 1; i < s.rank; ++i)
        if (s.strides[i] < 0 || s.strides[i] >= (int64_t(1) << 40) / bytes || s.strides[i] * bytes % 16)
            return expected(of("strides", i), "a multiple of 16 bytes below 2**40", s.strides[i] * bytes);
    return "";
}

std::string why_no_rows(TensorMapSpec const& s) {
    if (s.swizzle_bytes != 16 && s.swizzle_bytes != 32 && s.swizzle_bytes != 64 && s.swizzle_bytes != 128)
        return expected("swizzle_bytes", "16 (none), 32, 64 or 128", s.swizzle_bytes);
    int const row = s.box[0] * info(s.dtype).bytes;
    if (row % 16) return expected("box[0]", "a multiple of 16 bytes", row);
    if (s.swizzle_bytes > 16 && row != s.swizzle_bytes)
        return expected("box[0]", "the swizzle's " + std::to_string(s.swizzle_bytes) + " bytes", row);
    return "";
}

std::string why_no_box(TensorMapSpec const& s) {
    for (int i = 0; i < s.rank; ++i)
        if (s.box[i] < 1 || s.box[i] > 256) return expected(of("box", i), "1 to 256", s.box[i]);
    if (s.element_strides[0] != 1) return expected("element_strides[0]", "1", s.element_strides[0]);
    for (int i = 1; i < s.rank; ++i)
        if (s.element_strides[i] < 1 || s.element_strides[i] > 8)
            return expected(of("element_strides", i), "1 to 8", s.element_strides[i]);
    return "";
}

// Of im2col: the box is one of channels and pixels, and its corners are small.
std::string why_no_columns(TensorMapSpec const& s) {
    if (s.box[0] < 1 || s.box[0] > 256) return expected("box[0]", "1 to 256 channels", s.box[0]);
    if (s.box[1] < 1 || s.box[1] > 1024) return expected("box[1]", "1 to 1024 pixels", s.box[1]);
    int const bits[] = {16, 8, 5};  // of a corner, by rank
    int const most = (1 << (bits[s.rank - 3] - 1)) - 1;
    std::string const range = std::to_string(-most - 1) + " to " + std::to_string(most);
    for (int i = 0; i < s.rank - 2; ++i) {
        if (s.lower[i] < -most - 1 || s.lower[i] > most) return expected(of("lower", i), range, s.lower[i]);
        if (s.upper[i] < -most - 1 || s.upper[i] > most) return expected(of("upper", i), range, s.upper[i]);
        if (int64_t const pixels = s.sizes[i + 1] + s.upper[i] - s.lower[i]; pixels < 1)
            return expected(of("sizes", i + 1), "a pixel between the corners", pixels);
    }
    for (int i = 1; i < s.rank; ++i)
        if (s.element_strides[i] < 1 || s.element_strides[i] > 8)
            return expected(of("element_strides", i), "1 to 8", s.element_strides[i]);
    return "";
}

// The words of a spec, mixed one after the other.
uint64_t hash(TensorMapSpec const& s) {
    uint64_t h = reinterpret_cast<std::uintptr_t>(s.data) ^ uint64_t(s.dtype) << 56 ^ uint64_t(s.rank) << 48 ^
                 uint64_t(s.swizzle_bytes) << 40 ^ uint64_t(s.tf32) << 62 ^ uint64_t(s.im2col) << 63;
    auto const mix = [&](uint64_t word) {
        h = (h ^ word) * 0x9e3779b97f4a7c15u;
        h ^= h >> 32;
    };
    for (int i = 0; i < kMapRank; ++i) {
        mix(uint64_t(s.sizes[i]));
        mix(uint64_t(s.strides[i]) ^ uint64_t(s.box[i]) << 40 ^ uint64_t(s.element_strides[i]) << 56);
    }
    for (int i = 0; i < kMapRank - 2; ++i) mix(uint64_t(uint32_t(s.lower[i])) << 32 | uint32_t(s.upper[i]));
    return h;
}

// Places of four, the one used last in front: what was not used for longest in a place makes room.
class Cache {
  public:
    ptx::TensorMap get(TensorMapSpec const& spec) {
        std::lock_guard const lock(mutex_);
        if (!places_) places_ = std::make_unique<Place[]>(kPlaces);
        Place& place = places_[hash(spec) % kPlaces];
        auto found =
            std::find_if(place.begin(), place.end(), [&](Entry const& e) { return spec.rank && e.spec == spec; });
        if (found == place.end()) {
            if (auto const why = why_not_addressable(spec); !why.empty())
                throw std::invalid_argument("tensor_map: argument '" + why.substr(0, why.find(':')) + "'" +
                                            why.substr(why.find(':')));
            Entry const fresh{spec, encode(spec)};
            *--found = fresh;
            ++encoded_;
        }
        std::rotate(place.begin(), found, found + 1);
        return place.front().map;
    }
    void clear() {
        std::lock_guard const lock(mutex_);
        places_.reset();
    }
    int64_t encoded() {
        std::lock_guard const lock(mutex_);
        return encoded_;
    }

  private:
    static constexpr int kPlaces = 1024;
    struct Entry {
        TensorMapSpec spec;  // rank 0: nothing yet
        ptx::TensorMap map;
    };
    using Place = std::array<Entry, 4>;

    std::mutex mutex_;
    std::unique_ptr<Place[]> places_;
    int64_t encoded_ = 0;
};

Cache cache;

}  // namespace

std::string why_not_addressable(TensorMapSpec const& s) {
    for (auto const why : {why_no_tensor, s.im2col ? why_no_columns : why_no_box, why_no_rows})
        if (auto text = why(s); !text.empty()) return text;
    return "";
}

ptx::TensorMap tensor_map(TensorMapSpec const& spec) { return cache.get(spec); }
void forget_tensor_maps() { cache.clear(); }
int64_t encoded_tensor_maps() { return cache.encoded(); }

}  // namespace pylayers
