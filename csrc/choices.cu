// The measured problem that a product is most like: of the same family, chip and key, and each size within a factor of
// sqrt(2).
#include "csrc/choices.hpp"

#include <algorithm>
#include <limits>
#include <numbers>

namespace pylayers {
namespace {

// What has to be the same.
constexpr auto kSame = [](Measured const& row) { return std::tie(row.family, row.capability, row.key); };

constexpr bool in_order(std::span<Measured const> table) {
    auto const order = [](Measured const& row) {
        ProductSizes const& s = row.sizes;
        return std::tuple_cat(kSame(row), std::tie(s.batches, s.m, s.n, s.k));
    };
    auto const not_before = [&](auto const& x, auto const& y) { return order(x) >= order(y); };
    return std::ranges::adjacent_find(table, not_before) == table.end();
}
static_assert(in_order(kMeasured));

// Infinite for an empty product, which is like no other.
double ratio(int64_t x, int64_t y) { return double(std::max(x, y)) / double(std::min(x, y)); }

}  // namespace

std::span<Measured const> measured_choices() { return std::span(kMeasured).subspan(1); }

bool sorted(std::span<Measured const> table) { return in_order(table); }

Measured const* nearest_measured(std::span<Measured const> table, std::string_view family, int capability,
                                 std::string_view key, ProductSizes const& sizes) {
    Measured const problem{.family = family, .capability = capability, .key = key};
    Measured const* nearest = nullptr;
    double least = std::numeric_limits<double>::infinity();
    for (Measured const& row : std::ranges::equal_range(table, kSame(problem), {}, kSame)) {
        double const ratios[] = {ratio(row.sizes.batches, sizes.batches), ratio(row.sizes.m, sizes.m),
                                 ratio(row.sizes.n, sizes.n), ratio(row.sizes.k, sizes.k)};
        double const distance = ratios[0] * ratios[1] * ratios[2] * ratios[3];
        if (std::ranges::max(ratios) <= std::numbers::sqrt2 && distance < least) nearest = &row, least = distance;
    }
    return nearest;
}

}  // namespace pylayers
