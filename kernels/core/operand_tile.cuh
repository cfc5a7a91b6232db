// Tiles of a matrix product's operands in shared memory: filled by cp.async or element by element, read by ldmatrix as
// fragments of `mma`. Everything is a matter of bytes, so that one code serves all types.
#pragma once
#include "kernels/core/layout.cuh"
#include "kernels/core/ptx.cuh"

namespace pylayers {
using namespace ptx;

// One operand: a row is one m or one n.
struct OperandMatrix {
    void const* data;
    int64_t batch, row, k;  // strides in bytes
    DEVICE char const* at(int64_t z, int64_t i, int64_t j) const {
        return static_cast<char const*>(data) + z * batch + i * row + j * k;
    }
};

// How a tile is filled, and with that how it lies.
enum class TileLoad {
    kCopyK,   // by cp.async along k: neighbours along k, all else at multiples of 16 bytes
    kCopyMn,  // by cp.async along m or n: 16-bit elements, neighbours along rows, all else at multiples of 16 bytes
    kGather,  // element by element: any strides
};

// Lines of 16-byte chunks. A line is cut into blocks of at most 128 bytes; in each of them the chunks of a line are
// exchanged by its number, so that the same chunk of 8 lines, which ldmatrix reads and a gather writes at once, lies in
// 8 different groups of banks, and so do 8 neighbouring chunks of a line.
template <int kLines, int kLineBytes> struct alignas(128) SwizzledTile {
    static constexpr int kSpan = kLineBytes < 128 ? kLineBytes : 128;
    unsigned char bytes[kLines * kLineBytes];

    HOST_DEVICE static constexpr int place(int line, int byte) {
        return byte / kSpan * (kLines * kSpan) + layout::swizzled<layout::Swizzle(kSpan)>(line * kSpan + byte % kSpan);
    }
};

constexpr int kTileRowBytes = 128;  // of the tiles of TMA and wgmma: the widest span of a swizzle

// (kSize rows, kBytes of k) of an operand. Lines are rows; with kCopyMn they are single k.
template <TileLoad kLoad, int kSize, int kBytes>
struct OperandTile
    : SwizzledTile<kLoad == TileLoad::kCopyMn ? kBytes / 2 : kSize, kLoad == TileLoad::kCopyMn ? kSize * 2 : kBytes> {
    using OperandTile::SwizzledTile::kSpan;

    // Where this lane of ldmatrix begins for fragments (16 rows, 32 bytes of k) from `row` on: its matrix is the lower
    // or the upper half of the rows, and of k.
    DEVICE static int lane_place(int row, int row_half, int k_half) {
        int const i = thread_index() % 8;
        if constexpr (kLoad == TileLoad::kCopyMn)
            return OperandTile::place(k_half * 8 + i, (row + row_half * 8) * 2);
        else
            return OperandTile::place(row + row_half * 8 + i, k_half * 16);
    }

    // Fragment `i` at instruction `step` along k. Steps of 8 lines do not change how chunks are exchanged, and a step
    // along a line is an exclusive or: `i` or `step` stays inside the span.
    DEVICE void read(uint32_t (&fragment)[4], int lane_place, int i, int step) const {
        if constexpr (kLoad == TileLoad::kCopyMn)
            ldmatrix_trans(fragment, this->bytes + (lane_place ^ i * 32) + step * 16 * kSpan);
        else
            ldmatrix(fragment, this->bytes + (lane_place ^ step * 32) + i * 16 * kSpan);
    }
};

// Fills the tiles of one operand, one after the other along k.
template <TileLoad kLoad, int kSize, int kBytes, int kThreads, class Type> struct TileLoader {
    using Tile = OperandTile<kLoad, kSize, kBytes>;
    static constexpr bool kAlongK = kLoad == TileLoad::kCopyK;
    static constexpr int kLines = kAlongK ? kSize : kBytes / 2, kChunks = (kAlongK ? kBytes : kSize * 2) / 16;
    static constexpr int kPassLines = kThreads / kChunks, kPasses = kLines / kPassLines;
    static_assert(kAlongK || sizeof(Type) == 2, "ldmatrix transposes 16-bit elements only");
    static_assert(kThreads % kChunks == 0 && kPassLines % 8 == 0 && kLines % kPassLines == 0);

    char const* from;     // this thread's chunk in its first line
    int64_t line, stage;  // strides in bytes
    int64_t left;         // of k behind `from`: bytes with kCopyK, lines with kCopyMn
    int inside;           // of rows behind `from`: lines with kCopyK, bytes with kCopyMn
    int place;

    // From element (row, i) of a[z] on, which `rows` and `k_left` elements follow.
    DEVICE TileLoader(OperandMatrix const& a, int64_t z, int64_t row, int64_t i, int64_t rows, int64_t k_left) {
        int const chunk = thread_index() % kChunks * 16, first = thread_index() / kChunks;
        line = kAlongK ? a.row : a.k;
        stage = kAlongK ? kBytes : kLines * line;
        from = a.at(z, row, i) + first * line + chunk;
        left = kAlongK ? k_left * int(sizeof(Type)) - chunk : k_left - first;
        int64_t const tail = kAlongK ? rows - first : rows * 2 - chunk;
        inside = int(tail < kSize ? tail : kSize);
        place = Tile::place(first, chunk);
    }

    DEVICE void copy(Tile& tile) {
        int64_t const along = kAlongK ? left : inside;
        int const bytes = along >= 16 ? 16 : along > 0 ? int(along) : 0;
        int64_t const lines = kAlongK ? inside : left;
        auto const pass = [&](int i, int source_bytes) {
            cp_async<16>(tile.bytes + place + i * kPassLines * Tile::kSpan, from + i * kPassLines * line, source_bytes);
        };
        if (bytes == 16 && lines > kLines - kPassLines) {  // the usual: a number known here costs no instruction
            UNROLL
            for (int i = 0; i < kPasses; ++i) pass(i, 16);
        } else {
            UNROLL
            for (int i = 0; i < kPasses; ++i) pass(i, i * kPassLines < lines ? bytes : 0);
        }
        from += stage;
        left -= kAlongK ? kBytes : kLines;
    }
};

// A thread gathers the same places of every tile, kPasses chunks of 16 bytes along k.
template <int kSize, int kBytes, int kThreads, class Type>
struct TileLoader<TileLoad::kGather, kSize, kBytes, kThreads, Type> {
    using Tile = OperandTile<TileLoad::kGather, kSize, kBytes>;
    using Bits =
        std::conditional_t<sizeof(Type) == 1, uint8_t, std::conditional_t<sizeof(Type) == 2, uint16_t, uint32_t>>;
    static constexpr int kElements = 16 / int(sizeof(Type)), kTileK = kBytes / int(sizeof(Type));
    static constexpr int kChunks = kBytes / 16, kPasses = kSize * kChunks / kThreads;
    static constexpr int kPassRows = kThreads / kChunks, kPassChunks = kThreads / kSize;
    static_assert(kThreads % kChunks == 0 && kThreads % kSize == 0 && kSize * kChunks % kThreads == 0);
    struct alignas(16) Chunk {
        Bits x[kElements];
    };

    char const* from;  // this thread's first element
    int64_t k, pass;   // strides in bytes
    int64_t left;      // elements of k from the tile's first on
    int inside;        // rows of the tile that are there
    bool along_k;      // whether neighbouring threads, and passes, walk along rows or along k
    Chunk chunks[kPasses];

    // From element (row, i) of a[z] on, which `rows` and `k_left` elements follow.
    DEVICE TileLoader(OperandMatrix const& a, int64_t z, int64_t row, int64_t i, int64_t rows, int64_t k_left) {
        along_k = (a.k < 0 ? -a.k : a.k) <= (a.row < 0 ? -a.row : a.row);
        k = a.k;
        pass = along_k ? kPassRows * a.row : kPassChunks * kElements * k;
        left = k_left;
        inside = int(rows < kSize ? rows : kSize);
        from = a.at(z, row + row_of(0), i + chunk_of(0) * kElements);
    }

    DEVICE int row_of(int i) const {
        return along_k ? thread_index() / kChunks + i * kPassRows : thread_index() % kSize;
    }
    DEVICE int chunk_of(int i) const {
        return along_k ? thread_index() % kChunks : thread_index() / kSize + i * kPassChunks;
    }

    // The next tile's elements set out for registers; `write` waits for them.
    DEVICE void read() {
        if (row_of(kPasses - 1) < inside && left >= kTileK) {
            UNROLL
            for (int i = 0; i < kPasses; ++i) read_chunk(i, kElements);
        } else {
            UNROLL
            for (int i = 0; i < kPasses; ++i) {
                int64_t const count = left - chunk_of(i) * kElements;
                read_chunk(i, row_of(i) >= inside || count <= 0 ? 0 : count < kElements ? int(count) : kElements);
            }
        }
        from += kTileK * k;
        left -= kTileK;
    }
    DEVICE void read_chunk(int i, int count) {
        char const* p = from + i * pass;
        UNROLL
        for (int j = 0; j < kElements; ++j, p += k)  // p + j k would keep all multiples of k in registers
            chunks[i].x[j] = j < count ? *reinterpret_cast<Bits const*>(p) : 0;
    }

    // To the bytes of k from `byte` on of a tile that may be longer than what was read.
    template <int kLineBytes> DEVICE void write(SwizzledTile<kSize, kLineBytes>& tile, int byte = 0) {
        UNROLL
        for (int i = 0; i < kPasses; ++i) {
            if constexpr (std::is_same_v<Type, tf32>) UNROLL
            for (int j = 0; j < kElements; ++j) chunks[i].x[j] = round_to_tf32(float_from_bits(chunks[i].x[j]));
            *reinterpret_cast<Chunk*>(tile.bytes + tile.place(row_of(i), byte + chunk_of(i) * 16)) = chunks[i];
        }
    }
};

}  // namespace pylayers
