// The bodies of ldmatrix, stmatrix and mma.sync.
#include <cstring>

#include "emulator/gather.hpp"
#include "emulator/matrix.hpp"

namespace pylayers::ptx {

using emulator::current;
using emulator::group;
using emulator::kLanes;
using emulator::Site;
namespace race = emulator::race;

namespace {

constexpr int kRowBytes = 16, kRows = 8, kMatrices = 4;

// What a lane hands over: its registers, and the row whose address it gives.
struct Lane {
    uint32_t* registers;
    std::byte* row;
};

Lane const& lane_of(int lane) { return *static_cast<Lane const*>(current->block->lanes_of(*current)[lane].operands); }

// Moves all four matrices, in pieces of two elements or (transposed) one.
template <class Move> void move(bool transposed, Move piece) {
    for (int matrix = 0; matrix < kMatrices; ++matrix)
        for (int lane = 0; lane < kLanes; ++lane) {
            auto const registers = reinterpret_cast<std::byte*>(lane_of(lane).registers + matrix);
            layout::Position const at = layout::ldmatrix(lane);
            for (int i = 0; i < 2; ++i) {
                int const row = transposed ? at.column + i : at.row, column = transposed ? at.row : at.column + i;
                piece(registers + i * 2, lane_of(matrix * kRows + row).row + column * 2);
            }
        }
}

template <class Move>
void move_matrices(char const* instruction, Lane const& own, race::Access access, bool transposed, Where const& where,
                   Move piece) {
    Site& site = emulator::locate(instruction, where);
    emulator::need_target(site);
    auto const& shared = current->block->shared;
    if (!shared.holds(own.row) || !shared.holds(own.row + kRowBytes - 1))
        group->fail(to_string(site) + ": the row does not lie in the block's shared memory");
    if (current->block->offset_of(own.row) % kRowBytes)
        group->fail(to_string(site) + ": a row lies at a multiple of 16 bytes");
    race::access(*current, site, own.row, kRowBytes, access);
    emulator::gather_warp(site, &own, [&] { move(transposed, piece); });
}

void load(char const* instruction, uint32_t* d, void const* row, bool transposed, Where const& where) {
    auto const source = const_cast<std::byte*>(static_cast<std::byte const*>(row));
    move_matrices(instruction, {d, source}, race::Access::kRead, transposed, where,
                  [](std::byte* registers, std::byte* place) { std::memcpy(registers, place, 2); });
}

void store(char const* instruction, uint32_t const* s, void* row, bool transposed, Where const& where) {
    Lane const own{const_cast<uint32_t*>(s), static_cast<std::byte*>(row)};
    move_matrices(instruction, own, race::Access::kWrite, transposed, where,
                  [](std::byte* registers, std::byte* place) { std::memcpy(place, registers, 2); });
}

struct MmaOperands {
    uint32_t const *a, *b;
    void* d;
};

}  // namespace

void ldmatrix(uint32_t (&d)[4], void const* row, Where where) { load("ldmatrix", d, row, false, where); }
void ldmatrix_trans(uint32_t (&d)[4], void const* row, Where where) { load("ldmatrix_trans", d, row, true, where); }
void stmatrix(void* row, uint32_t const (&s)[4], Where where) { store("stmatrix", s, row, false, where); }
void stmatrix_trans(void* row, uint32_t const (&s)[4], Where where) { store("stmatrix_trans", s, row, true, where); }

template <class T> emulator::matrix::Type detail::type() { return emulator::matrix::type_of<T>; }
template emulator::matrix::Type detail::type<bf16>();
template emulator::matrix::Type detail::type<fp16>();
template emulator::matrix::Type detail::type<tf32>();
template emulator::matrix::Type detail::type<e4m3>();
template emulator::matrix::Type detail::type<e5m2>();
template emulator::matrix::Type detail::type<int8_t>();

void detail::mma(emulator::matrix::Type type, void* d, uint32_t const (&a)[4], uint32_t const (&b)[2],
                 Where const& where) {
    Site& site = emulator::locate("mma", where);
    emulator::need_target(site);
    MmaOperands const own{a, b, d};
    emulator::gather_warp(site, &own, [&] {
        uint32_t all_a[kLanes][4], all_b[kLanes][2];
        void* all_d[kLanes];
        auto const lanes = current->block->lanes_of(*current);
        for (int lane = 0; lane < kLanes; ++lane) {
            auto const& operands = *static_cast<MmaOperands const*>(lanes[lane].operands);
            std::memcpy(all_a[lane], operands.a, sizeof all_a[lane]);
            std::memcpy(all_b[lane], operands.b, sizeof all_b[lane]);
            all_d[lane] = operands.d;
        }
        ++emulator::statistics.products;
        emulator::matrix::mma(type, all_a, all_b, all_d);
    });
}

}  // namespace pylayers::ptx
