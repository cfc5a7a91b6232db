// Checks the work list of an optimizer and writes it to the device.
#include "csrc/tensor_list.cuh"

#include <algorithm>

namespace pylayers {
namespace {

ElementType element_type(char const* op, char const* name, Array const& x) {
    switch (x.dtype) {
        case DType::kFloat32:
            return ElementType::kFloat32;
        case DType::kBfloat16:
            return ElementType::kBfloat16;
        case DType::kFloat16:
            return ElementType::kFloat16;
        default:
            break;
    }
    throw NotImplemented(std::string(op) + ": argument '" + name + "': expected float32, bfloat16 or float16, got " +
                         to_string(x) + "; the kernels of this backend take no other dtype yet");
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

int64_t tensor_list_bytes(int64_t count) { return count * int64_t(sizeof(TensorItem)); }

int64_t count_list_chunks(Sizes const& sizes) {
    int64_t chunks = 0;
    for (int64_t n : sizes) chunks += count_chunks(n);
    return chunks;
}

WrittenList write_list(char const* op, Arrays const& parameters, Arrays const& gradients, Arrays const& firsts,
                       Arrays const& seconds, Arrays const& steps, Array const& workspace, Stream stream) {
    for (Arrays const* list : {&gradients, &firsts, &seconds, &steps})
        require(list->empty() || list->size() == parameters.size(),
                std::string(op) + ": expected lists of one length, got " + std::to_string(parameters.size()) + " and " +
                    std::to_string(list->size()));
    std::vector<TensorItem> items;
    int64_t chunks = 0;
    for (size_t i = 0; i < parameters.size(); ++i) {
        Array const& p = parameters[i];
        require_dense(op, p);
        TensorItem item{.parameter = p.data, .gradient = gradients[i].data, .size = p.size(), .first_chunk = chunks};
        item.type = element_type(op, "parameters", p);
        require_alike(op, "gradients", gradients[i], p);
        require(gradients[i].dtype == p.dtype, std::string(op) +
                                                   ": argument 'gradients': expected the dtype of the parameter, " +
                                                   to_string(p) + ", got " + to_string(gradients[i]));
        if (!firsts.empty()) {
            item.first = firsts[i].data;
            item.moment_type = element_type(op, "moments", firsts[i]);
            require_alike(op, "moments", firsts[i], p);
        }
        if (!seconds.empty()) {
            item.second = seconds[i].data;
            require_alike(op, "moments", seconds[i], p);
            require(seconds[i].dtype == firsts[i].dtype, std::string(op) +
                                                             ": argument 'moments': expected one dtype for both, got " +
                                                             to_string(firsts[i]) + " and " + to_string(seconds[i]));
        }
        if (!steps.empty()) {
            require_dtype(op, "steps", steps[i], DType::kInt32);
            require_shape(op, "steps", steps[i], {2});
            item.step = steps[i].as<uint32_t>();
        }
        chunks += count_chunks(item.size);
        items.push_back(item);
    }
    write(items, workspace.as<TensorItem>(), stream);
    return {{workspace.as<TensorItem>(), int64_t(items.size())}, chunks};
}

}  // namespace pylayers
