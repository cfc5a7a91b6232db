// Which rows of a table a device runs, how they may divide a product, and how long the model takes that for. Pure
// functions of sizes and device.
#include "csrc/variants.hpp"

#include <algorithm>
#include <charconv>
#include <limits>

namespace pylayers {
namespace {

constexpr int64_t kMost = std::numeric_limits<int32_t>::max();  // of m, n, k for what TMA and tile numbers count
constexpr double kTileClocks = 2000;                            // of a tile's first loads and its epilogue
constexpr double kLaunchClocks = 5000;                          // of the second kernel that adds splits
constexpr double kBytesPerClock = 2400;                         // of the device's memory, about
constexpr int64_t kLeastTilesPerSplit = 4;                      // shorter ones are all prologue

constexpr int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

int64_t count_tiles(VariantFacts const& v, ProductSizes const& p) {
    return p.batches * divide_up(p.m, v.tile_m * v.cluster) * divide_up(p.n, v.tile_n);
}

Division divide(VariantFacts const& v, ProductSizes const& p, DeviceSpec const& spec, int64_t splits) {
    int64_t const k_tiles = divide_up(p.k, v.tile_k), tiles = count_tiles(v, p);
    int64_t const per_split = std::max<int64_t>(divide_up(k_tiles, splits), 1);
    splits = std::max<int64_t>(divide_up(k_tiles, per_split), 1);
    int64_t const places = std::max(spec.sms / v.cluster, 1), units = tiles * splits;
    double const tile = double(v.tile_m) * v.tile_n * v.tile_k * double(per_split) / v.rate + kTileClocks;
    double clocks = double(divide_up(units, places)) * tile;
    if (splits > 1) clocks += kLaunchClocks + 8.0 * double(splits * p.batches * p.m) * double(p.n) / kBytesPerClock;
    return {splits, per_split, (v.persistent ? std::min(units, places) : units) * v.cluster, clocks};
}

Division best_division(VariantFacts const& v, ProductSizes const& p, DeviceSpec const& spec, bool may_split) {
    Division best = divide(v, p, spec, 1);
    if (!may_split) return best;
    int64_t const idle = spec.sms / std::max<int64_t>(count_tiles(v, p) * v.cluster, 1);
    int64_t const most = std::min(idle, divide_up(p.k, v.tile_k) / kLeastTilesPerSplit);
    for (int64_t splits = 2; splits <= most; splits *= 2)
        if (Division const d = divide(v, p, spec, splits); d.clocks < best.clocks) best = d;
    if (most > 1)
        if (Division const d = divide(v, p, spec, most); d.clocks < best.clocks) best = d;
    return best;
}

Family const* const kFamilies[] = {&kGemmFamily, &kConvForwardFamily, &kConvInputGradientFamily,
                                   &kConvWeightGradientFamily};

Family const& family_named(std::string const& name) {
    for (Family const* family : kFamilies)
        if (family->name == name) return *family;
    std::string names;
    for (Family const* family : kFamilies) names += (names.empty() ? "" : ", ") + std::string(family->name);
    throw std::invalid_argument("plan: argument 'family': expected one of " + names + ", got '" + name + "'");
}

}  // namespace

bool runs(VariantFacts const& v, ProductSizes const& p, DeviceSpec const& spec, bool forced) {
    // Code for sm_80 has to be translated by the driver before it runs on Hopper, which has rows of its own for all.
    bool const has_code = v.capability == 90   ? spec.capability == 90
                          : v.capability == 80 ? spec.capability >= 80 && (spec.capability != 90 || forced)
                                               : true;
    return has_code && (v.capability == 0 || (std::max({p.m, p.n, p.k}) < kMost && count_tiles(v, p) < kMost / 256));
}

std::optional<Division> division_of(VariantFacts const& v, ProductSizes const& p, DeviceSpec const& spec,
                                    bool may_split, std::string_view variant) {
    if (variant.empty()) return best_division(v, p, spec, may_split);
    auto const star = variant.find('*');
    if (variant.substr(0, star) != v.name) return {};
    if (star == variant.npos) return best_division(v, p, spec, may_split);
    int64_t splits = 0;  // which it stays where no number of 64 bits follows
    char const* const end = variant.data() + variant.size();
    bool const whole = std::from_chars(variant.data() + star + 1, end, splits).ptr == end && splits > 0;
    if (!whole || (splits > 1 && !may_split)) return {};
    return divide(v, p, spec, splits);
}

std::vector<std::string> divisions(VariantFacts const& v, ProductSizes const& p, DeviceSpec const& spec,
                                   bool may_split) {
    std::vector<std::string> names;
    int64_t const blocks = count_tiles(v, p) * v.cluster;
    for (int64_t s = 1; s == 1 || (may_split && s * blocks <= 2 * spec.sms && s * v.tile_k * 2 <= p.k); s *= 2)
        names.push_back(v.name + ("*" + std::to_string(divide(v, p, spec, s).splits)));
    return names;
}

std::vector<VariantFacts> variants(std::string const& family) { return family_named(family).variants(); }

Plan plan(std::string const& family, Arrays operands, DeviceSpec spec, std::string variant, Precision precision,
          bool column_sums, std::optional<std::vector<Measurement>> const& measured) {
    std::vector<Measured> table;
    if (measured)
        for (auto const& [of, capability, key, batches, m, n, k, quickest] : *measured)
            table.push_back({of, capability, key, {batches, m, n, k}, quickest});
    require(sorted(table), family, ": argument 'measured': expected sorted rows of different problems, got others");
    return family_named(family).plan({std::move(operands), spec, std::move(variant), precision, column_sums,
                                      measured ? std::span<Measured const>(table) : measured_choices()});
}

std::vector<std::string> possible_variants(std::string const& family, Arrays operands, DeviceSpec spec,
                                           Precision precision) {
    return family_named(family).possible({std::move(operands), spec, "", precision, false, {}});
}

}  // namespace pylayers
