// The plan of a matrix product: which compiled variant, how many parts of k, how many blocks. Pure functions of sizes,
// strides, alignment and device.
#include <array>
#include <charconv>
#include <limits>

#include "csrc/column_sum.cuh"
#include "csrc/gemm.cuh"

namespace pylayers {
namespace {

constexpr int64_t kMost = std::numeric_limits<int32_t>::max();  // of m, n, k for what TMA and tile numbers count

GemmProblem::Access access(Array const& x, int k, int mn) {
    if (x.size() == 0) return {true, true};  // nothing will be read
    int64_t const bytes = info(x.dtype).bytes;
    // Rows apart, batches apart: multiples of 16 bytes, forwards; where there is one, its stride means nothing.
    auto const steps = [&](int axis) {
        return x.shape[axis] <= 1 ||
               (x.strides[axis] > 0 && x.strides[axis] * bytes % 16 == 0 && x.strides[axis] * bytes < int64_t(1) << 40);
    };
    auto const dense = [&](int axis) { return x.strides[axis] == 1 || x.shape[axis] <= 1; };
    bool const whole = reinterpret_cast<std::uintptr_t>(x.data) % 16 == 0 && (x.strides[0] == 0 || steps(0));
    return {whole && dense(k) && steps(mn), whole && dense(mn) && steps(k)};
}

constexpr double kTileClocks = 2000;        // of a tile's first loads and its epilogue
constexpr double kLaunchClocks = 5000;      // of the second kernel that adds splits
constexpr double kBytesPerClock = 2400;     // of the device's memory, about
constexpr int64_t kLeastTilesPerSplit = 4;  // shorter ones are all prologue

int64_t count_tiles(GemmVariant const& v, GemmProblem const& p) {
    return p.batches * divide_up(p.m, v.tile_m * v.cluster) * divide_up(p.n, v.tile_n);
}

GemmChoice divide(GemmVariant const& v, GemmProblem const& p, DeviceSpec const& spec, int64_t splits) {
    int64_t const k_tiles = divide_up(p.k, v.tile_k), tiles = count_tiles(v, p);
    int64_t const per_split = std::max<int64_t>(divide_up(k_tiles, splits), 1);
    splits = std::max<int64_t>(divide_up(k_tiles, per_split), 1);
    int64_t const places = std::max(spec.sms / v.cluster, 1), units = tiles * splits;
    double const tile = double(v.tile_m) * v.tile_n * v.tile_k * double(per_split) / v.rate + kTileClocks;
    double clocks = double(divide_up(units, places)) * tile;
    if (splits > 1) clocks += kLaunchClocks + 8.0 * double(splits * p.batches * p.m) * double(p.n) / kBytesPerClock;
    return {&v, {splits, per_split, (v.persistent ? std::min(units, places) : units) * v.cluster}, clocks};
}

GemmChoice best_division(GemmVariant const& v, GemmProblem const& p, DeviceSpec const& spec) {
    GemmChoice best = divide(v, p, spec, 1);
    int64_t const idle = spec.sms / std::max<int64_t>(count_tiles(v, p) * v.cluster, 1);
    int64_t const most = std::min(idle, divide_up(p.k, v.tile_k) / kLeastTilesPerSplit);
    for (int64_t splits = 2; splits <= most; splits *= 2)
        if (GemmChoice const c = divide(v, p, spec, splits); c.clocks < best.clocks) best = c;
    if (most > 1)
        if (GemmChoice const c = divide(v, p, spec, most); c.clocks < best.clocks) best = c;
    return best;
}

bool suits(GemmVariant const& v, GemmProblem const& p, DeviceSpec const& spec, bool forced) {
    // Code for sm_80 has to be translated by the driver before it runs on Hopper, which has rows of its own for all.
    bool const runs = v.capability == 90   ? spec.capability == 90
                      : v.capability == 80 ? spec.capability >= 80 && (spec.capability != 90 || forced)
                                           : true;
    bool const counts = v.capability == 0 || (std::max({p.m, p.n, p.k}) < kMost && count_tiles(v, p) < kMost / 256);
    return runs && counts && v.serves(p);
}

// "name" or "name*splits"; nothing for any other.
GemmChoice named(GemmVariant const& v, GemmProblem const& p, DeviceSpec const& spec, std::string_view variant) {
    auto const star = variant.find('*');
    if (variant.substr(0, star) != v.name) return {};
    if (star == variant.npos) return best_division(v, p, spec);
    int64_t splits = 0;  // which it stays where no number of 64 bits follows
    char const* const end = variant.data() + variant.size();
    bool const whole = std::from_chars(variant.data() + star + 1, end, splits).ptr == end && splits > 0;
    return whole ? divide(v, p, spec, splits) : GemmChoice{};
}

auto const& tables() {
    static std::array const all{gemm_bf16_sm90(), gemm_fp16_sm90(), gemm_tf32_sm90(), gemm_fp8_sm90(),
                                gemm_int8_sm90(), gemm_sm80(),      gemm_simt()};
    return all;
}

// The rows for operands of these types: a call that finds them among all others waits for that as long as for its plan.
std::span<GemmVariant const* const> rows(DType a, DType b, Precision precision) {
    constexpr size_t kTypes = std::size(kDTypes);
    static auto const all = [] {
        std::array<std::vector<GemmVariant const*>, kTypes * kTypes * 2> lists;
        for (auto const& table : tables())
            for (GemmVariant const& v : table)
                lists[(size_t(v.a) * kTypes + size_t(v.b)) * 2 + size_t(v.precision)].push_back(&v);
        return lists;
    }();
    return all[(size_t(a) * kTypes + size_t(b)) * 2 + size_t(precision)];
}

// Of the variants that suit, or of those with this name; `forced`: by the caller, whatever it costs.
GemmChoice quickest(GemmProblem const& p, DeviceSpec const& spec, std::string_view variant, bool forced) {
    GemmChoice best;
    for (GemmVariant const* v : rows(p.a.dtype, p.b.dtype, p.precision)) {
        if (!suits(*v, p, spec, forced)) continue;
        GemmChoice const c = variant.empty() ? best_division(*v, p, spec) : named(*v, p, spec, variant);
        if (c.variant && (!best.variant || c.clocks < best.clocks)) best = c;
    }
    return best;
}

constexpr int64_t round_up(int64_t bytes) { return divide_up(bytes, 256) * 256; }

}  // namespace

GemmProblem gemm_problem(Array const& a, Array const& b, Precision precision) {
    GemmProblem p{.batches = a.shape[0], .m = a.shape[1], .n = b.shape[2], .k = a.shape[2], .a = a, .b = b};
    p.precision = a.dtype == DType::kFloat32 ? precision : Precision::kFloat32;
    p.a_access = access(a, 2, 1), p.b_access = access(b, 1, 2);
    return p;
}

OperandMatrix operand_matrix(Array const& x, int rows) {
    auto const stride = [&](int i) { return x.shape[i] > 1 ? x.strides[i] * info(x.dtype).bytes : 0; };
    return {x.data, stride(0), stride(rows), stride(3 - rows)};
}

GemmChoice choose_gemm(GemmProblem const& p, DeviceSpec const& spec, std::string_view variant,
                       std::span<MeasuredGemm const> measured) {
    GemmChoice best;
    if (variant.empty())
        if (auto const* nearest = nearest_measured(measured, p, spec.capability))
            best = quickest(p, spec, nearest->variant, false);
    if (!best.variant) best = quickest(p, spec, variant, !variant.empty());
    if (best.variant) return best;
    if (p.precision == Precision::kTf32) {  // more precise than asked for is allowed
        GemmProblem precise = p;
        precise.precision = Precision::kFloat32;
        return choose_gemm(precise, spec, variant, measured);
    }
    require(variant.empty(), "gemm: argument 'variant': expected a row of the table that serves " + to_string(p.a) +
                                 " and " + to_string(p.b) + " of these strides, got '" + std::string(variant) + "'");
    throw NotImplemented("gemm: argument 'a': expected a pair of operands with a kernel on compute capability " +
                         std::to_string(spec.capability) + ", got " + to_string(p.a) + " and " + to_string(p.b));
}

GemmWorkspace gemm_workspace(GemmProblem const& p, GemmChoice const& c, bool column_sums, DeviceSpec const& spec) {
    GemmWorkspace w{};
    int64_t const rows = p.batches * divide_up(p.m, kEpilogueRows);
    if (c.grid.splits > 1) w.splits = round_up(c.grid.splits * p.batches * p.m * p.n * 4);
    if (!column_sums) return w;
    bool const by_epilogue = w.splits || c.variant->capability > 0;  // plain kernels leave it to a pass over y
    if (by_epilogue) w.rows = round_up(rows * p.n * 4);
    int64_t const splits = count_row_splits(by_epilogue ? rows : p.batches * p.m, p.n, spec);
    w.column_sum = splits > 1 ? splits * p.n * int64_t(sizeof(float)) : 0;
    return w;
}

std::vector<GemmRow> gemm_rows() {
    std::vector<GemmRow> rows;
    for (auto const& table : tables())
        for (GemmVariant const& v : table)
            rows.emplace_back(v.name, info(v.a).name, info(v.b).name,
                              v.precision == Precision::kTf32 ? "tf32" : "float32", v.capability, v.tile_m, v.tile_n,
                              v.tile_k, v.stages, v.cluster, v.shared_bytes);
    return rows;
}

Plan plan_of(GemmProblem const& p, GemmChoice const& c, bool column_sums, DeviceSpec const& spec) {
    std::string const splits = c.grid.splits > 1 ? "*" + std::to_string(c.grid.splits) : "";
    return {c.variant->name + splits, c.grid.blocks, gemm_workspace(p, c, column_sums, spec).bytes(), 64};
}

Plan plan_gemm(Array a, Array b, bool column_sums, Precision precision, DeviceSpec spec, std::string const& variant) {
    GemmProblem const p = gemm_problem(a, b, precision);
    return plan_of(p, choose_gemm(p, spec, variant), column_sums, spec);
}

}  // namespace pylayers
