// The number types of the vocabulary and how the chip rounds to them.
#pragma once
#include <bit>
#include <cstdint>

namespace pylayers::ptx {

struct bf16 {
    uint16_t bits;
};
struct fp16 {
    uint16_t bits;
};
struct e4m3 {
    uint8_t bits;
};
struct e5m2 {
    uint8_t bits;
};

inline uint32_t float_bits(float x) { return std::bit_cast<uint32_t>(x); }
inline float float_from_bits(uint32_t bits) { return std::bit_cast<float>(bits); }

inline float to_float(float x) { return x; }
inline float to_float(int32_t x) { return float(x); }
inline float to_float(bf16 x) { return float_from_bits(uint32_t(x.bits) << 16); }
inline float to_float(fp16 x) {
    uint32_t const sign = uint32_t(x.bits & 0x8000) << 16, magnitude = uint32_t(x.bits & 0x7fff) << 13;
    if (magnitude >= 0x0f800000) return float_from_bits(sign | magnitude | 0x7f800000);
    // The same bits at float's place are too small by 2^112: exact, and right for subnormals too.
    return float_from_bits(sign | float_bits(float_from_bits(magnitude) * 0x1p112f));
}
float to_float(e4m3 x);
float to_float(e5m2 x);

// Rounds to nearest, ties to even; a NaN stays a NaN. What is too large becomes infinite in 16 bits, the largest number
// of its sign in 8.
template <class T> T from_float(float x);
template <> inline float from_float<float>(float x) { return x; }
template <> bf16 from_float<bf16>(float x);
template <> fp16 from_float<fp16>(float x);
template <> e4m3 from_float<e4m3>(float x);
template <> e5m2 from_float<e5m2>(float x);

// The nearest tf32, ties away from zero, in a float's bits.
uint32_t round_to_tf32(float x);

// Two floats rounded to 16 bits in one register, `low` in the low half.
template <class T> uint32_t pack(float low, float high) {
    return from_float<T>(low).bits | uint32_t(from_float<T>(high).bits) << 16;
}

}  // namespace pylayers::ptx
