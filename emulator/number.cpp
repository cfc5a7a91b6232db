// Conversions between float and the smaller number types, as the chip's cvt rounds.
#include "emulator/number.hpp"

#include <math.h>

namespace pylayers::ptx {
namespace {

constexpr uint32_t kMagnitude = 0x7fffffff, kInfinity = 0x7f800000;

// A small float: sign, exponent with this bias, `kMantissa` bits.
template <int kBits, int kMantissa, int kBias> struct Format {
    static constexpr int kDropped = 23 - kMantissa;
    static constexpr uint32_t kSign = 1u << (kBits - 1);
    static constexpr float kScale = std::bit_cast<float>(uint32_t(254 - kBias) << 23);  // 2^(127 - bias)
    static constexpr uint32_t kLeastNormal = uint32_t(128 - kBias) << 23;               // as a float's bits

    // Finite numbers: the same bits at float's place are too small by the biases' difference, subnormals too.
    static float widen(uint32_t bits) {
        float const magnitude = float_from_bits((bits & (kSign - 1)) << kDropped) * kScale;
        return bits & kSign ? -magnitude : magnitude;
    }
    // The nearest of finite magnitude, ties to even, of numbers that are in range.
    static uint32_t narrow(uint32_t magnitude) {
        if (magnitude < kLeastNormal)  // in units of the least subnormal
            return uint32_t(
                rintf(float_from_bits(magnitude) * std::bit_cast<float>(uint32_t(126 + kBias + kMantissa) << 23)));
        uint32_t const rounded = magnitude + (1u << (kDropped - 1)) - 1 + (magnitude >> kDropped & 1);
        return (rounded - (uint32_t(127 - kBias) << 23)) >> kDropped;
    }
    static uint32_t sign_of(float x) { return float_bits(x) >> 31 ? kSign : 0; }
};

using Half = Format<16, 10, 15>;
using E4m3 = Format<8, 3, 7>;
using E5m2 = Format<8, 2, 15>;

// The chip's conversion to 8 bits: beyond the largest number is the largest number.
template <class F> uint8_t saturate(float x, uint32_t largest) {
    uint32_t const magnitude = float_bits(x) & kMagnitude;
    if (magnitude > kInfinity) return 0x7f;
    uint32_t const bits = magnitude == kInfinity ? largest : F::narrow(magnitude);
    return uint8_t(F::sign_of(x) | (bits < largest ? bits : largest));
}

}  // namespace

template <> bf16 from_float<bf16>(float x) {
    uint32_t const bits = float_bits(x);
    if (x != x) return {0x7fff};  // the chip's NaN
    return {uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}

template <> fp16 from_float<fp16>(float x) {
    uint32_t const magnitude = float_bits(x) & kMagnitude;
    if (magnitude > kInfinity) return {0x7fff};                                        // the chip's NaN
    uint32_t const bits = magnitude >= 0x47800000 ? 0x7c00 : Half::narrow(magnitude);  // 65536
    return {uint16_t(Half::sign_of(x) | bits)};
}

float to_float(e4m3 x) { return (x.bits & 0x7f) == 0x7f ? float_from_bits(0x7fc00000) : E4m3::widen(x.bits); }
template <> e4m3 from_float<e4m3>(float x) { return {saturate<E4m3>(x, 0x7e)}; }

float to_float(e5m2 x) {
    uint32_t const magnitude = x.bits & 0x7f;
    if (magnitude > 0x7c) return float_from_bits(0x7fc00000);
    if (magnitude == 0x7c) return x.bits & 0x80 ? -float_from_bits(kInfinity) : float_from_bits(kInfinity);
    return E5m2::widen(x.bits);
}
template <> e5m2 from_float<e5m2>(float x) { return {saturate<E5m2>(x, 0x7b)}; }

uint32_t round_to_tf32(float x) {
    uint32_t const bits = float_bits(x);
    if (x != x) return 0x7fffffff;
    if ((bits & kMagnitude) == kInfinity) return bits;
    return (bits + 0x1000) & ~0x1fffu;
}

}  // namespace pylayers::ptx
