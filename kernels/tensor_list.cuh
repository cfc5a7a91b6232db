// One launch over a list of tensors of any sizes and dtypes: each block takes one chunk of one tensor.
#pragma once
#include "kernels/core/dtype.hpp"
#include "kernels/core/kernel.cuh"
#include "kernels/core/math.cuh"
#include "kernels/core/ptx.cuh"

namespace pylayers {
using namespace ptx;

struct TensorItem {
    void *parameter, *gradient, *first, *second;  // second moment last; null where the optimizer has none
    uint32_t* step;                               // steps taken, and a counter of this launch's finished chunks
    int64_t size, first_chunk;                    // of the launch
    DType dtype, moment_dtype;                    // of parameter and gradient, of the moments: 32- or 16-bit floats
};

constexpr int64_t kChunk = 4096;  // elements of a block: 16 a thread, small enough to balance the last wave

HOST_DEVICE constexpr int64_t count_chunks(int64_t size) { return size > 0 ? divide_up(size, kChunk) : 1; }

struct TensorList {
    TensorItem const* items;  // in device memory
    int64_t count;

    // The tensor that chunk `chunk` of the launch belongs to.
    DEVICE TensorItem find(int64_t chunk) const {
        int64_t low = 0, high = count - 1;
        while (low < high) {
            int64_t const middle = (low + high + 1) / 2;
            if (items[middle].first_chunk <= chunk)
                low = middle;
            else
                high = middle - 1;
        }
        return items[low];
    }
};

// to[i] = items[i]. The items travel as the launch's parameters: a graph that captures it keeps them, while a copy from
// host memory would be read again, from wherever it lay, whenever the graph runs.
struct TensorListWrite : PlainKernel<64, 1> {
    static constexpr int kMost = 60;  // 64 bytes each: parameters of a launch end at 4096

    struct Params {
        TensorItem items[kMost];
        TensorItem* to;
        int count;
    };

    DEVICE static void run(Params const& p, Shared&) {
        if (thread_index() < p.count) p.to[thread_index()] = p.items[thread_index()];
    }
};

// Calls f with a pointer to elements of the dtype.
template <class F> DEVICE void with_pointer(void* p, DType dtype, F f) {
    switch (dtype) {
        case DType::kFloat32:
            return f(static_cast<float*>(p));
        case DType::kBfloat16:
            return f(static_cast<bf16*>(p));
        case DType::kFloat16:
            return f(static_cast<fp16*>(p));
        default:
            return;
    }
}

// Calls body(i) for the elements of this block's chunk.
template <int kThreads, class Body> DEVICE void for_chunk(TensorItem const& item, int64_t chunk, Body body) {
    int64_t const begin = (chunk - item.first_chunk) * kChunk;
    int64_t const end = begin + kChunk < item.size ? begin + kChunk : item.size;
    for (int64_t i = begin + thread_index(); i < end; i += kThreads) body(i);
}

// Counts this chunk as finished; the tensor's last chunk advances its step. Every chunk has read the step before.
DEVICE void finish_chunk(TensorItem const& item) {
    if (thread_index() != 0) return;
    fence_device();
    uint32_t const last = uint32_t(count_chunks(item.size)) - 1;
    if (atomic_increment(&item.step[1], last) != last) return;
    fence_device();  // the other chunks' reads of the step come before this
    item.step[0] += 1;
}

// Whether `norm` of gradient_norm says that some gradient is not finite.
DEVICE bool must_skip(float const* norm) { return norm && norm[1] != 0.0f; }

}  // namespace pylayers
