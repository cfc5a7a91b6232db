// Checks the work list of an optimizer and writes it to the device.
#include "csrc/tensor_list.cuh"

#include <algorithm>

#include "csrc/dispatch.hpp"

namespace pylayers {
namespace {

// What `with_pointer` knows.
DType element(char const* op, char const* name, Array const& x) {
    require_element<float, ptx::bf16, ptx::fp16>(op, name, x);
    return x.dtype;
}

// Element i of every tensor must lie at the same place: dense in one memory order, the same for all.
void require_alike(char const* op, char const* name, Array const& x, Array const& parameter) {
    bool alike = x.rank == parameter.rank;
    for (int i = 0; alike && i < x.rank; ++i)
        alike = x.shape[i] == parameter.shape[i] && (x.shape[i] <= 1 || x.strides[i] == parameter.strides[i]);
    require(alike, std::string(op) + ": argument '" + name + "': expected the shape and strides of its parameter " +
                       to_string(parameter) + ", got " + to_string(x));
}

void require_dense(char const* op, Array const& x) {
    int64_t last = 0;  // the largest offset; dense means that it is size - 1
    for (int i = 0; i < x.rank; ++i) last += x.shape[i] > 1 ? (x.shape[i] - 1) * x.strides[i] : 0;
    bool ascending = true;
    for (int i = 0; i < x.rank; ++i) ascending = ascending && (x.shape[i] <= 1 || x.strides[i] > 0);
    if (x.size() > 0 && !(ascending && last == x.size() - 1))
        throw NotImplemented(std::string(op) +
                             ": argument 'parameters': expected dense memory, got strides of a view of " +
                             to_string(x));
}

void write(std::vector<TensorItem> const& items, TensorItem* to, Stream stream) {
    for (size_t first = 0; first < items.size(); first += TensorListWrite::kMost) {
        auto const count = std::min<size_t>(items.size() - first, TensorListWrite::kMost);
        TensorListWrite::Params p{.to = to + first, .count = int(count)};
        std::copy_n(items.begin() + ptrdiff_t(first), count, p.items);
        launch<TensorListWrite>(1, p, stream);
    }
}

}  // namespace

int64_t count_list_chunks(Arrays const& tensors) {
    int64_t chunks = 0;
    for (Array const& x : tensors) chunks += count_chunks(x.size());
    return chunks;
}

WrittenList write_list(char const* op, TensorLists const& lists, Caller const& caller) {
    size_t const count = lists.parameters.size();
    for (size_t size : {lists.gradients.size(), lists.firsts.size(), lists.seconds.size(), lists.steps.size()})
        require(size == 0 || size == count, op, ": expected lists of one length, got ", int64_t(count), " and ",
                int64_t(size));
    std::vector<TensorItem> items;
    int64_t chunks = 0;
    for (size_t i = 0; i < count; ++i) {
        Array const &p = lists.parameters[i], &gradient = lists.gradients[i];
        require_dense(op, p);
        TensorItem item{.parameter = p.data, .gradient = gradient.data, .size = p.size(), .first_chunk = chunks};
        item.dtype = element(op, "parameters", p);
        require_alike(op, "gradients", gradient, p);
        require(gradient.dtype == p.dtype, op, ": argument 'gradients': expected the dtype of the parameter, ", p,
                ", got ", gradient);
        if (!lists.firsts.empty() && lists.firsts[i]) {
            Array const& first = *lists.firsts[i];
            item.first = first.data;
            item.moment_dtype = element(op, "moments", first);
            require_alike(op, "moments", first, p);
        }
        if (!lists.seconds.empty()) {
            Array const& second = lists.seconds[i];
            item.second = second.data;
            require_alike(op, "moments", second, p);
            require(item.first && second.dtype == item.moment_dtype, op,
                    ": argument 'moments': expected one dtype for both, got another beside ", second);
        }
        if (!lists.steps.empty()) {
            require_dtype(op, "steps", lists.steps[i], DType::kInt32);
            require_shape(op, "steps", lists.steps[i], {2});
            item.step = lists.steps[i].as<uint32_t>();
        }
        chunks += count_chunks(item.size);
        items.push_back(item);
    }
    TensorItem* const list = caller.workspace<TensorItem>(int64_t(count));
    write(items, list, caller.stream);
    return {{list, int64_t(count)}, chunks};
}

}  // namespace pylayers
