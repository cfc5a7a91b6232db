// What the plan of a matrix product asks: how operands lie, which rows are for their types, what the second passes
// need.
#include <vector>

#include "csrc/column_sum.cuh"
#include "csrc/gemm.cuh"

namespace pylayers {
namespace {

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

std::string lies(bool in_rows, bool in_columns) { return in_rows ? " rows" : in_columns ? " columns" : " any"; }

// The rows for operands of these types: looking through all of them would cost as much as the plan.
std::span<GemmVariant const> rows(DType a, DType b, Precision precision) {
    constexpr size_t kTypes = std::size(kDTypes);
    static auto const all = [] {
        std::array<std::vector<GemmVariant>, kTypes * kTypes * 2> lists;
        for (GemmVariant const& v : GemmProblem::table())
            lists[(size_t(v.facts.a) * kTypes + size_t(v.facts.b)) * 2 + size_t(v.facts.precision)].push_back(v);
        return lists;
    }();
    return all[(size_t(a) * kTypes + size_t(b)) * 2 + size_t(precision)];
}

constexpr int64_t round_up(int64_t bytes) { return divide_up(bytes, 256) * 256; }

}  // namespace

GemmProblem::GemmProblem(Array const& a, Array const& b, Precision precision, bool column_sums)
    : ProductSizes{.batches = a.shape[0], .m = a.shape[1], .n = b.shape[2], .k = a.shape[2]}, a(a), b(b),
      a_access(access(a, 2, 1)), b_access(access(b, 1, 2)),
      precision(a.dtype == DType::kFloat32 ? precision : Precision::kFloat32), column_sums(column_sums), epilogue{} {}

std::span<GemmVariant const> GemmProblem::table() {
    static auto const all = [] {
        std::vector<GemmVariant> rows;
        for (auto const& part : {gemm_bf16_sm90(), gemm_fp16_sm90(), gemm_tf32_sm90(), gemm_fp8_sm90(),
                                 gemm_int8_sm90(), gemm_sm80(), gemm_simt()})
            rows.insert(rows.end(), part.begin(), part.end());
        return rows;
    }();
    return all;
}

std::span<GemmVariant const> GemmProblem::variants() const { return rows(a.dtype, b.dtype, precision); }

std::string GemmProblem::key() const {
    std::string words(info(a.dtype).name);
    words.append(" ").append(info(b.dtype).name).append(precision == Precision::kTf32 ? " tf32" : " float32");
    return words + lies(a_access.along_k, a_access.along_mn) + lies(b_access.along_mn, b_access.along_k);
}

// More precise than asked for is allowed.
std::optional<GemmProblem> GemmProblem::stricter() const {
    if (precision == Precision::kFloat32) return {};
    return GemmProblem(a, b, Precision::kFloat32, column_sums);
}

GemmWorkspace GemmProblem::workspace(GemmChoice const& c, DeviceSpec const& spec) const {
    GemmWorkspace w{};
    int64_t const sums = batches * divide_up(m, kEpilogueRows);
    if (c.division.splits > 1) w.splits = round_up(c.division.splits * batches * m * n * 4);
    if (!column_sums) return w;
    bool const by_epilogue = w.splits || c.variant->facts.capability > 0;  // plain kernels leave it to a pass over y
    if (by_epilogue) w.rows = round_up(sums * n * 4);
    int64_t const splits = count_row_splits(by_epilogue ? sums : batches * m, n, spec);
    w.column_sum = splits > 1 ? splits * n * int64_t(sizeof(float)) : 0;
    return w;
}

GemmProblem GemmProblem::asked(Question const& q) {
    require(q.operands.size() == 2 && q.operands[0].rank == 3 && q.operands[1].rank == 3,
            "gemm: argument 'operands': expected a (batches, m, k) and b (batches, k, n)");
    return GemmProblem(q.operands[0], q.operands[1], q.precision, q.column_sums);
}

OperandMatrix operand_matrix(Array const& x, int rows) {
    auto const stride = [&](int i) { return x.shape[i] > 1 ? x.strides[i] * info(x.dtype).bytes : 0; };
    return {x.data, stride(0), stride(rows), stride(3 - rows)};
}

Family const kGemmFamily = kFamilyOf<GemmProblem>;

}  // namespace pylayers
