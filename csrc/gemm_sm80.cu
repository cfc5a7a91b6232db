// The variants of gemm by mma.sync: which tiles are compiled, and which operands each of them can read.
#include "kernels/gemm_sm80.cuh"

#include "csrc/gemm.cuh"
#include "csrc/launch.cuh"

namespace pylayers {
namespace {

bool serves(TileLoad load, GemmProblem::Access access) {
    return load == TileLoad::kGather || (load == TileLoad::kCopyK ? access.along_k : access.along_mn);
}

template <TileSm80 T, class Type> constexpr GemmVariant variant(char const* name) {
    using Kernel = GemmSm80<T, Type>;
    return {
        .facts = {.name = name,
                  .a = kDTypeOf<Type>,
                  .b = kDTypeOf<Type>,
                  .precision = kPrecisionOf<Type>,
                  .capability = 80,
                  .tile_m = T.m,
                  .tile_n = T.n,
                  .tile_k = Kernel::kTileK,
                  .stages = T.stages,
                  .cluster = 1,
                  .shared_bytes = int(sizeof(typename Kernel::Shared)),
                  .persistent = false,
                  // What an A100 has, less what a small tile and single elements leave to its loads.
                  .rate = 2048 / int(sizeof(Type)) * (T.m * T.n >= 128 * 128 ? 7 : 5) / 8 / (Kernel::kGathers ? 2 : 1)},
        .serves = [](GemmProblem const& p) { return serves(T.a, p.a_access) && serves(T.b, p.b_access); },
        .run =
            [](GemmProblem const& p, Division const& by, Stream stream) {
                int const splits = int(by.splits), batches = int(p.batches) * splits;
                launch<Kernel>(by.blocks,
                               {operand_matrix(p.a, 1), operand_matrix(p.b, 2), p.k, by.tiles_per_split, splits,
                                Raster::of(batches, int(divide_up(p.m, T.m)), int(divide_up(p.n, T.n))), p.epilogue},
                               stream);
            }};
}

constexpr TileSm80 large(TileLoad a, TileLoad b) {
    return {
        .m = 128, .n = 128, .k_bytes = 64, .warps_m = 2, .warps_n = 2, .stages = 4, .blocks_per_sm = 2, .a = a, .b = b};
}
constexpr TileSm80 small(TileLoad a, TileLoad b) {
    return {
        .m = 64, .n = 64, .k_bytes = 128, .warps_m = 2, .warps_n = 2, .stages = 3, .blocks_per_sm = 3, .a = a, .b = b};
}
// Elements wait in registers, one in each, so that tiles are as large as those allow; they are a third stage.
constexpr TileSm80 gather(int m, int n, int warps_m, int warps_n, int blocks_per_sm) {
    return {.m = m,
            .n = n,
            .k_bytes = 64,
            .warps_m = warps_m,
            .warps_n = warps_n,
            .stages = 2,
            .blocks_per_sm = blocks_per_sm,
            .a = TileLoad::kGather,
            .b = TileLoad::kGather};
}

constexpr auto kK = TileLoad::kCopyK, kMn = TileLoad::kCopyMn;

// Every compiled variant; this table is the only list of instantiations. tf32 and int8 along m or n are gathered, for
// ldmatrix transposes 16-bit elements only.
constexpr GemmVariant kVariants[] = {
    variant<large(kK, kK), bf16>("sm80_128x128x32"),
    variant<large(kK, kMn), bf16>("sm80_128x128x32"),
    variant<large(kMn, kK), bf16>("sm80_128x128x32"),
    variant<large(kMn, kMn), bf16>("sm80_128x128x32"),
    variant<small(kK, kK), bf16>("sm80_64x64x64"),
    variant<small(kK, kMn), bf16>("sm80_64x64x64"),
    variant<small(kMn, kMn), bf16>("sm80_64x64x64"),
    variant<gather(128, 128, 2, 4, 1), bf16>("sm80_128x128x32_gather"),
    variant<gather(64, 64, 2, 2, 3), bf16>("sm80_64x64x32_gather"),
    variant<large(kK, kK), fp16>("sm80_128x128x32"),
    variant<large(kK, kMn), fp16>("sm80_128x128x32"),
    variant<large(kMn, kK), fp16>("sm80_128x128x32"),
    variant<large(kMn, kMn), fp16>("sm80_128x128x32"),
    variant<small(kK, kK), fp16>("sm80_64x64x64"),
    variant<small(kK, kMn), fp16>("sm80_64x64x64"),
    variant<small(kMn, kMn), fp16>("sm80_64x64x64"),
    variant<gather(128, 128, 2, 4, 1), fp16>("sm80_128x128x32_gather"),
    variant<gather(64, 64, 2, 2, 3), fp16>("sm80_64x64x32_gather"),
    variant<large(kK, kK), tf32>("sm80_128x128x16"),
    variant<gather(128, 128, 2, 4, 1), tf32>("sm80_128x128x16_gather"),
    variant<gather(64, 64, 2, 2, 3), tf32>("sm80_64x64x16_gather"),
    variant<large(kK, kK), int8_t>("sm80_128x128x64"),
    variant<gather(128, 64, 4, 2, 1), int8_t>("sm80_128x64x64_gather"),
    variant<gather(64, 64, 2, 2, 2), int8_t>("sm80_64x64x64_gather"),
};

}  // namespace

std::span<GemmVariant const> gemm_sm80() { return kVariants; }

}  // namespace pylayers
