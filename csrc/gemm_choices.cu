// The measured problem that a product is most like: of the same types, chip and layouts, and each size within a factor
// of sqrt(2).
#include "csrc/gemm_choices.hpp"

#include <algorithm>
#include <limits>
#include <numbers>

namespace pylayers {
namespace {

// What has to be the same.
constexpr auto kKey = [](MeasuredGemm const& row) {
    return std::tie(row.a, row.b, row.precision, row.capability, row.a_lies, row.b_lies);
};

constexpr bool sorted(std::span<MeasuredGemm const> table) {
    auto const order = [](MeasuredGemm const& row) {
        return std::tuple_cat(kKey(row), std::tie(row.batches, row.m, row.n, row.k));
    };
    auto const not_before = [&](auto const& x, auto const& y) { return order(x) >= order(y); };
    return std::ranges::adjacent_find(table, not_before) == table.end();
}
static_assert(sorted(kMeasuredGemms));

std::string_view lies(bool in_rows, bool in_columns) { return in_rows ? "rows" : in_columns ? "columns" : "any"; }

// Infinite for an empty product, which is like no other.
double ratio(int64_t x, int64_t y) { return double(std::max(x, y)) / double(std::min(x, y)); }

}  // namespace

std::span<MeasuredGemm const> measured_gemms() { return kMeasuredGemms; }

MeasuredGemm const* nearest_measured(std::span<MeasuredGemm const> table, GemmProblem const& p, int capability) {
    MeasuredGemm const problem{.a = info(p.a.dtype).name,
                               .b = info(p.b.dtype).name,
                               .precision = p.precision == Precision::kTf32 ? "tf32" : "float32",
                               .capability = capability,
                               .a_lies = lies(p.a_access.along_k, p.a_access.along_mn),
                               .b_lies = lies(p.b_access.along_mn, p.b_access.along_k)};
    MeasuredGemm const* nearest = nullptr;
    double least = std::numeric_limits<double>::infinity();
    for (MeasuredGemm const& row : std::ranges::equal_range(table, kKey(problem), {}, kKey)) {
        double const ratios[] = {ratio(row.batches, p.batches), ratio(row.m, p.m), ratio(row.n, p.n),
                                 ratio(row.k, p.k)};
        double const distance = ratios[0] * ratios[1] * ratios[2] * ratios[3];
        if (std::ranges::max(ratios) <= std::numbers::sqrt2 && distance < least) nearest = &row, least = distance;
    }
    return nearest;
}

Plan plan_gemm_measured(Array a, Array b, Precision precision, DeviceSpec spec, std::string const& variant,
                        std::vector<GemmMeasurement> const& rows) {
    std::vector<MeasuredGemm> table;
    for (auto const& row : rows)
        table.push_back(std::apply([](auto const&... fields) { return MeasuredGemm{fields...}; }, row));
    require(sorted(table), "gemm: argument 'rows': expected sorted rows of different problems, got others");
    GemmProblem const p = gemm_problem(a, b, precision);
    return plan_of(p, choose_gemm(p, spec, variant, table), false, spec);
}

}  // namespace pylayers
