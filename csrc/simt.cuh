// The tiles that GemmSimt is compiled for, and the choice among them for one problem.
#pragma once
#include <iterator>
#include <string>

#include "csrc/launch.cuh"
#include "csrc/ops/caller.hpp"
#include "kernels/gemm_simt.cuh"

namespace pylayers {

template <class Problem> struct SimtVariant {
    char const* name;
    int64_t (*blocks)(Problem const&);
    void (*run)(Problem const&, Stream);
};

template <class Problem, SimtTile T> constexpr SimtVariant<Problem> simt(char const* name) {
    using Kernel = GemmSimt<T, Problem>;
    return {name, &Kernel::blocks,
            [](Problem const& p, Stream stream) { launch<Kernel>(Kernel::blocks(p), {p}, stream); }};
}

constexpr SimtTile kSimtLarge{.m = 128, .n = 128, .k = 8, .thread_m = 8, .thread_n = 8};
constexpr SimtTile kSimtMiddle{.m = 64, .n = 64, .k = 16, .thread_m = 4, .thread_n = 4};
constexpr SimtTile kSimtSmall{.m = 32, .n = 32, .k = 32, .thread_m = 2, .thread_n = 4};

// Every compiled variant of a convolution, largest tile first. This table is the only list of instantiations.
template <class Problem>
constexpr SimtVariant<Problem> kSimtVariants[] = {
    simt<Problem, kSimtLarge>("simt_128x128x8"),
    simt<Problem, kSimtMiddle>("simt_64x64x16"),
    simt<Problem, kSimtSmall>("simt_32x32x32"),
};

// The largest tile that still gives every SM a block, the smallest where none does; or the row that `variant` names.
template <class Problem>
SimtVariant<Problem> const& choose_simt(char const* op, Problem const& p, Caller const& caller) {
    std::string const& variant = caller.variant;
    int const sms = device_spec(caller.stream.device).sms;
    for (SimtVariant<Problem> const& v : kSimtVariants<Problem>)
        if (variant.empty() ? v.blocks(p) >= sms : variant == v.name) return v;
    require(variant.empty(),
            std::string(op) + ": argument 'variant': expected a row of the table, got '" + variant + "'");
    return kSimtVariants<Problem>[std::size(kSimtVariants<Problem>) - 1];
}

}  // namespace pylayers
