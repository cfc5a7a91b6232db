// Tiny kernels, right ones and wrong ones, on which the emulator's own checks are tried.
#include <stdexcept>

#include "emulator/selftest.hpp"
#include "emulator/selftest_kernel.hpp"

namespace pylayers::selftest {

// ------------------------------------------------------------------------------------------- what is right

// data[b, t] = data[b, 255 - t] + 1
struct Mirror : KernelOf<256, Row<256>> {
    DEVICE static void run(Params const& p, Shared& s) {
        int const t = thread_index();
        float* const row = p.data + block_index() * 256;
        s.row[t] = row[t];
        sync_block();
        row[t] = s.row[255 - t] + 1;
    }
};

// The same within each warp of 96 threads: data[t] = data[t ^ 31] + 1
struct WarpMirror : KernelOf<96, Row<96>> {
    DEVICE static void run(Params const& p, Shared& s) {
        int const t = thread_index();
        s.row[t] = p.data[t];
        sync_warp();
        p.data[t] = s.row[t ^ 31] + 1;
    }
};

// data[b, :] = (1 + 2 + 3) times the sum of data[b, :], with one scratch used three times over.
struct SumThrice : KernelOf<128, Row<4>> {
    DEVICE static void run(Params const& p, Shared& s) {
        int const t = thread_index();
        float* const row = p.data + block_index() * 128;
        float total = 0;
        for (int i = 0; i < 3; ++i) {
            float sum = row[t] * float(i + 1);
            for (int lanes = 16; lanes > 0; lanes /= 2) sum += shuffle_xor(sum, lanes);
            sync_block();  // others may still read the scratch of the last turn
            if (t % 32 == 0) s.row[t / 32] = sum;
            sync_block();
            total += s.row[0] + s.row[1] + s.row[2] + s.row[3];
        }
        row[t] = total;
    }
};

// data[t] = data[lane 5 of the warp of t]
struct Broadcast : KernelOf<64> {
    DEVICE static void run(Params const& p, Shared&) { p.data[thread_index()] = shuffle(p.data[thread_index()], 5); }
};

// data[0] = sum over the blocks b of data[1 + b], added up by the last block to come. Behind them: partial sums, a
// counter.
struct LastBlockSums : KernelOf<32, Row<1>> {
    DEVICE static void run(Params const& p, Shared& s) {
        float* const partial = p.data + 1 + block_count();
        auto const counter = reinterpret_cast<uint32_t*>(p.data + p.n - 1);
        if (thread_index() == 0) {
            partial[block_index()] = p.data[1 + block_index()];
            fence_device();
            s.row[0] = float(atomic_increment(counter, uint32_t(block_count() - 1)));
            fence_device();
        }
        sync_block();
        if (s.row[0] != float(block_count() - 1)) return;
        float sum = 0;
        for (int64_t b = thread_index(); b < block_count(); b += 32) sum += partial[b];
        for (int lanes = 16; lanes > 0; lanes /= 2) sum += shuffle_xor(sum, lanes);
        if (thread_index() == 0) p.data[0] = sum;
    }
};

// data[t] = when thread t came, of all.
struct Arrivals : KernelOf<128> {
    DEVICE static void run(Params const& p, Shared&) {
        auto const counter = reinterpret_cast<uint32_t*>(p.data + p.n - 1);
        p.data[thread_index()] = float(atomic_increment(counter, 1u << 30));
    }
};

// data[i] = data[i] rounded to T
template <class T> struct Rounding : KernelOf<64> {
    DEVICE static void run(Params const& p, Shared&) {
        for (int i = thread_index(); i < p.n; i += 64) p.data[i] = to_float(from_float<T>(p.data[i]));
    }
};

// Neighbouring bytes by different threads, in shared and in global memory: no race.
struct Bytes {
    unsigned char bytes[64];
};
struct NeighbouringBytes : KernelOf<64, Bytes> {
    DEVICE static void run(Params const& p, Shared& s) {
        int const t = thread_index();
        s.bytes[t] = static_cast<unsigned char>(t);
        sync_block();
        reinterpret_cast<unsigned char*>(p.data)[t] = s.bytes[63 - t];
    }
};

// ------------------------------------------------------------------------------------------- what is wrong

struct DivergentBarrier : KernelOf<64> {
    DEVICE static void run(Params const&, Shared&) {
        if (thread_index() < 32)
            sync_block();
        else
            sync_block();
    }
};

struct DivergentShuffle : KernelOf<32> {
    DEVICE static void run(Params const& p, Shared&) {
        if (thread_index() % 2)
            p.data[0] = shuffle(1.0f, 0);
        else
            sync_warp();
    }
};

struct EarlyExit : KernelOf<64> {
    DEVICE static void run(Params const&, Shared&) {
        if (thread_index() == 7) return;
        sync_block();
    }
};

struct Deadlock : KernelOf<64> {
    DEVICE static void run(Params const&, Shared&) {
        if (thread_index() == 40) sync_warp();
        sync_block();
    }
};

struct PartialWarp : KernelOf<48> {
    DEVICE static void run(Params const&, Shared&) { sync_warp(); }
};

struct WrongLane : KernelOf<32> {
    DEVICE static void run(Params const& p, Shared&) { p.data[0] = shuffle(1.0f, 32); }
};

struct Trap : KernelOf<32> {
    DEVICE static void run(Params const&, Shared&) {
        if (thread_index() == 3) trap();
    }
};

// data[t] = what lies in shared memory before anybody wrote it
struct Uninitialised : KernelOf<32, Row<32>> {
    DEVICE static void run(Params const& p, Shared& s) { p.data[thread_index()] = s.row[thread_index()]; }
};

// Writes shared memory at the index that data[0] says.
struct SharedIndex : KernelOf<32, Row<33>> {
    DEVICE static void run(Params const& p, Shared& s) {
        if (thread_index() == 9) static_cast<float volatile*>(s.row)[int(p.data[0])] = 1;
    }
};

struct Misaligned : KernelOf<32> {
    DEVICE static void run(Params const& p, Shared&) {
        if (thread_index() == 0) *reinterpret_cast<float volatile*>(reinterpret_cast<char*>(p.data) + 1) = 1;
    }
};

// Reads or writes data[n]: one element too far.
template <bool kWrite> struct GlobalOverrun : KernelOf<32> {
    DEVICE static void run(Params const& p, Shared&) {
        if (thread_index() != 17) return;
        if (kWrite)
            p.data[p.n] = 1;
        else
            p.data[0] = p.data[p.n];
    }
};

struct StackOverflow : KernelOf<32> {
    [[gnu::noinline]] static float deep(float volatile* x, int n) {
        float volatile local[256];
        local[n % 256] = *x;
        return n == 0 ? local[0] : deep(local, n - 1) + local[n % 256];
    }
    DEVICE static void run(Params const& p, Shared&) { p.data[0] = deep(p.data, 1 << 20); }
};

// Every thread of every block writes the same element, always the same value.
struct OneElement : KernelOf<32> {
    DEVICE static void run(Params const& p, Shared&) {
        if (thread_index() == 0 || p.n == 1) p.data[0] = 1;
    }
};

struct TooManyThreads : KernelOf<2048> {
    DEVICE static void run(Params const&, Shared&) {}
};

struct TooMuchShared : KernelOf<32, Row<232448 / 4 + 1>> {
    DEVICE static void run(Params const&, Shared&) {}
};

struct MostShared : KernelOf<32, Row<232448 / 4>> {
    DEVICE static void run(Params const& p, Shared& s) {
        p.data[thread_index()] = s.row[232448 / 4 - 1 - thread_index()];
    }
};

// What switching costs: n barriers and nothing between them.
template <int kThreadCount> struct Barriers : KernelOf<kThreadCount> {
    DEVICE static void run(Buffer const& p, Nothing&) {
        for (int i = 0; i < p.n; ++i) sync_block();
    }
};

namespace {

constexpr Named kKernels[] = {
    {"mirror", start<Mirror>},
    {"warp_mirror", start<WarpMirror>},
    {"sum_thrice", start<SumThrice>},
    {"broadcast", start<Broadcast>},
    {"last_block_sums", start<LastBlockSums>},
    {"arrivals", start<Arrivals>},
    {"round_to_bf16", start<Rounding<bf16>>},
    {"round_to_fp16", start<Rounding<fp16>>},
    {"neighbouring_bytes", start<NeighbouringBytes>},
    {"divergent_barrier", start<DivergentBarrier>},
    {"divergent_shuffle", start<DivergentShuffle>},
    {"early_exit", start<EarlyExit>},
    {"deadlock", start<Deadlock>},
    {"partial_warp", start<PartialWarp>},
    {"wrong_lane", start<WrongLane>},
    {"trap", start<Trap>},
    {"uninitialised", start<Uninitialised>},
    {"shared_index", start<SharedIndex>},
    {"misaligned", start<Misaligned>},
    {"global_read_overrun", start<GlobalOverrun<false>>},
    {"global_write_overrun", start<GlobalOverrun<true>>},
    {"stack_overflow", start<StackOverflow>},
    {"one_element", start<OneElement>},
    {"too_many_threads", start<TooManyThreads>},
    {"too_much_shared", start<TooMuchShared>},
    {"most_shared", start<MostShared>},
    {"barriers", start<Barriers<256>>},
};

}  // namespace

std::vector<std::string> asynchronous_kernels() {
    std::vector<std::string> names;
    for (auto const& kernels : {barrier_kernels(), copy_kernels(), matrix_kernels(), pipeline_kernels()})
        for (auto const& [name, kernel] : kernels) names.emplace_back(name);
    return names;
}

void run(std::string const& name, float* data, int n, int64_t blocks) {
    for (auto const& kernels :
         {std::span<Named const>(kKernels), barrier_kernels(), copy_kernels(), matrix_kernels(), pipeline_kernels()})
        for (auto const& [known, kernel] : kernels)
            if (known == name) return kernel({data, n}, blocks);
    throw std::invalid_argument("no kernel " + name);
}

}  // namespace pylayers::selftest
