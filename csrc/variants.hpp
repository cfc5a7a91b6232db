// Tables of compiled variants and the choice among their rows: one mechanism for every family of products.
#pragma once
#include <algorithm>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "csrc/ops/caller.hpp"

namespace pylayers {

// Of a product (batches, m, k) (batches, k, n); a convolution is one too.
struct ProductSizes {
    int64_t batches, m, n, k;
};

// What a row of a table says.
struct VariantFacts {
    char const* name;
    DType a, b;           // of the operands
    Precision precision;  // kTf32: for float32 that may be rounded
    int capability;       // 90: exactly that; otherwise that or later
    int tile_m, tile_n, tile_k, stages;
    int cluster;       // blocks along m that work together
    int shared_bytes;  // of a block
    bool persistent;   // blocks walk over tiles; otherwise there is one for each
    int rate;          // products in a clock of an SM, as far as is known: the plan's guess, not a measurement
};

// How a launch divides a product: k in `splits` parts of `tiles_per_split` tiles, and a grid.
struct Division {
    int64_t splits, tiles_per_split, blocks;
    double clocks;  // of the whole device: a model, not a measurement
};

// A row. Of a divided product part s of batch z of the sums goes to row z * splits + s of the result.
template <class Problem> struct Variant {
    VariantFacts facts;
    bool (*serves)(Problem const&);
    void (*run)(Problem const&, Division const&, Stream);
};

template <class Problem> struct Choice {
    Variant<Problem> const* variant = nullptr;
    Division division{};
};

// A problem that was measured, and what was quickest for it.
struct Measured {
    std::string_view family;
    int capability;
    std::string_view key;  // what else has to be the same, in the family's words
    ProductSizes sizes;
    std::string_view variant;  // "name*splits"
};

// The rows of csrc/choices.hpp; and whether rows are sorted, each of another problem.
std::span<Measured const> measured_choices();
bool sorted(std::span<Measured const> table);
// The row of the problem most like this one, each size within a factor of sqrt(2), or nullptr where none is like it.
Measured const* nearest_measured(std::span<Measured const> table, std::string_view family, int capability,
                                 std::string_view key, ProductSizes const& sizes);

// Whether the device runs such code, and its counters hold such sizes; `forced`: by the caller, whatever it costs.
bool runs(VariantFacts const& v, ProductSizes const& p, DeviceSpec const& spec, bool forced);
// The division that `variant` asks for: "name*splits", or for "name" and "" the one that the model takes for quickest;
// nothing where it names no division of this row. Only what may be split is.
std::optional<Division> division_of(VariantFacts const& v, ProductSizes const& p, DeviceSpec const& spec,
                                    bool may_split, std::string_view variant);
// "name*splits" of the divisions worth measuring: of twice the splits as long as multiprocessors would be idle.
std::vector<std::string> divisions(VariantFacts const& v, ProductSizes const& p, DeviceSpec const& spec,
                                   bool may_split);

// A Problem is ProductSizes and has
//   kFamily    the name of its op and table
//   kSplits    whether k may be divided
//   table()    all rows, best first; variants(): those for operands of its types
//   key()      in words, what measured problems have in common with it
//   stricter() a problem whose answer would do as well, if there is one
//   operands() in words, for a message
//   workspace_bytes(choice, spec)
//   asked(question), static: the problem that Python asks about

// Of the variants that suit, or of those with this name; `forced`: by the caller.
template <class Problem>
Choice<Problem> quickest(Problem const& p, DeviceSpec const& spec, std::string_view variant, bool forced) {
    Choice<Problem> best;
    for (Variant<Problem> const& v : p.variants()) {
        if (!runs(v.facts, p, spec, forced) || !v.serves(p)) continue;
        auto const division = division_of(v.facts, p, spec, Problem::kSplits, variant);
        if (division && (!best.variant || division->clocks < best.division.clocks)) best = {&v, *division};
    }
    return best;
}

// The variant named, "name" or "name*splits"; with no name the one that was quickest for the nearest problem measured,
// or, where there is none, the one that the model takes for quickest.
template <class Problem>
Choice<Problem> choose(Problem const& p, DeviceSpec const& spec, std::string_view variant,
                       std::span<Measured const> table = measured_choices()) {
    Choice<Problem> best;
    if (variant.empty() && !table.empty())
        if (auto const* nearest = nearest_measured(table, Problem::kFamily, spec.capability, p.key(), p))
            best = quickest(p, spec, nearest->variant, false);
    if (!best.variant) best = quickest(p, spec, variant, !variant.empty());
    if (best.variant) return best;
    if (auto const stricter = p.stricter()) return choose(*stricter, spec, variant, table);
    require(variant.empty(), Problem::kFamily, ": argument 'variant': expected a row of the table that serves ",
            p.operands(), " of these strides, got '", variant, "'");
    throw NotImplemented(std::string(Problem::kFamily) +
                         ": argument 'a': expected a pair of operands with a kernel on compute capability " +
                         std::to_string(spec.capability) + ", got " + p.operands());
}

// What Python asks about a family: arrays, of which only types, shapes, strides and addresses count.
struct Question {
    Arrays operands;  // a and b, or x, weight and y of a convolution in any direction
    DeviceSpec spec;
    std::string variant;
    Precision precision;
    bool column_sums;
    std::span<Measured const> table;
};

// How Python writes a row of csrc/choices.hpp: family, capability, key, batches, m, n, k, and for `Measurement`
// variant.
using MeasuredProblem = std::tuple<std::string, int, std::string, int64_t, int64_t, int64_t, int64_t>;
using Measurement = std::tuple<std::string, int, std::string, int64_t, int64_t, int64_t, int64_t, std::string>;

// What a launch will be, decided from sizes, strides, alignment and device alone.
struct Plan {
    std::string variant;  // without "*1"
    int64_t blocks, workspace_bytes;
    MeasuredProblem problem;  // that of the row which would decide
};

// A family behind what Python asks.
struct Family {
    std::string_view name;
    std::vector<VariantFacts> (*variants)();
    Plan (*plan)(Question const&);
    std::vector<std::string> (*possible)(Question const&);
};

template <class Problem> std::vector<VariantFacts> facts_of() {
    std::vector<VariantFacts> facts;
    for (Variant<Problem> const& v : Problem::table()) facts.push_back(v.facts);
    return facts;
}

template <class Problem> Plan plan_of(Question const& q) {
    Problem const p = Problem::asked(q);
    Choice<Problem> const c = choose(p, q.spec, q.variant, q.table);
    std::string const splits = c.division.splits > 1 ? "*" + std::to_string(c.division.splits) : "";
    return {c.variant->facts.name + splits,
            c.division.blocks,
            p.workspace_bytes(c, q.spec),
            {Problem::kFamily, q.spec.capability, p.key(), p.batches, p.m, p.n, p.k}};
}

template <class Problem> std::vector<std::string> possible_of(Question const& q) {
    Problem const p = Problem::asked(q);
    std::vector<std::string> names;
    for (Variant<Problem> const& v : p.variants())
        if (runs(v.facts, p, q.spec, false) && v.serves(p))
            for (std::string& name : divisions(v.facts, p, q.spec, Problem::kSplits))
                if (std::ranges::find(names, name) == names.end()) names.push_back(std::move(name));
    return names;
}

template <class Problem>
constexpr Family kFamilyOf{Problem::kFamily, &facts_of<Problem>, &plan_of<Problem>, &possible_of<Problem>};

// Every family with a table.
extern Family const kGemmFamily, kConvForwardFamily, kConvInputGradientFamily, kConvWeightGradientFamily;

std::vector<VariantFacts> variants(std::string const& family);
// `measured`: as if these were the rows of csrc/choices.hpp.
Plan plan(std::string const& family, Arrays operands, DeviceSpec spec, std::string variant, Precision precision,
          bool column_sums, std::optional<std::vector<Measurement>> const& measured);
// The variants worth measuring for these operands, as "name*splits".
std::vector<std::string> possible_variants(std::string const& family, Arrays operands, DeviceSpec spec,
                                           Precision precision);

}  // namespace pylayers
