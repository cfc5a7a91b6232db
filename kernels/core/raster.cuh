// The order in which blocks take the tiles of batches of matrices: bands of a few tiles of m, so that those in flight
// together share operands in the L2.
#pragma once
#include "kernels/core/math.cuh"

namespace pylayers {

struct RasterTile {
    int z, m, n;
};

struct Raster {
    int tiles_m, tiles_n, tiles;  // tiles: of all batches

    static constexpr int kBand = 8;  // tiles of m

    HOST_DEVICE static constexpr Raster of(int batches, int tiles_m, int tiles_n) {
        return {tiles_m, tiles_n, batches * tiles_m * tiles_n};
    }

    DEVICE RasterTile tile(int number) const {
        int const of_batch = tiles_m * tiles_n, of_band = kBand * tiles_n;
        int const in_batch = number % of_batch, in_band = in_batch % of_band;
        int const first = in_batch / of_band * kBand;
        int const height = tiles_m - first < kBand ? tiles_m - first : kBand;
        return {number / of_batch, first + in_band % height, in_band / height};
    }
};

}  // namespace pylayers
