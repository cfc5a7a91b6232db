// Every primitive op of the kernels: the list of what exists. Outputs and workspaces are allocated by the caller.
#pragma once
#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "csrc/array.hpp"
#include "csrc/runtime.hpp"
#include "kernels/core/enums.hpp"

namespace pylayers {

// What a launch will be, decided from sizes alone.
struct Plan {
    std::string variant;
    int64_t blocks;
    int64_t workspace_bytes;
    int index_bits;
};

// The grid of a kernel whose blocks stride over their work: no more than a few waves of the device.
inline int64_t striding_blocks(int64_t wanted, Stream stream) {
    return std::min<int64_t>(wanted, 16 * device_spec(stream.device).sms);
}

using Arrays = std::vector<Array>;
using Sizes = std::vector<int64_t>;

// How a window moves: one number for each spatial dimension.
struct ConvGeometry {
    Sizes stride, padding, dilation;  // padding: before the first pixel
    int64_t groups;
};

// variant: the name of a row of the family's table, or "" for the plan's own choice.

// An array in memory of the caller's library. It stays until the op returns, and longer as the op's result.
struct NewArray : Array {
    void* object;
};

// Who calls an op: where new arrays come from, and the stream to launch on.
struct Caller {
    NewArray (*allocate)(void* self, Array const& like);
    void* self;
    Stream stream;
    // Of this dtype and shape, in C order.
    NewArray empty(Array like) const {
        int64_t step = 1;
        for (int i = like.rank; i-- > 0; step *= like.shape[i]) like.strides[i] = step;
        return allocate(self, like);
    }
    std::byte* workspace(int64_t bytes) const {
        return bytes ? empty({.dtype = DType::kUint8, .rank = 1, .shape = {bytes}}).as<std::byte>() : nullptr;
    }
};

// A row of the tables: name, dtypes of a and b, precision, capability, tile m, n and k, stages, cluster,
// bytes of shared memory.
using GemmRow = std::tuple<std::string, std::string, std::string, std::string, int, int, int, int, int, int, int>;
std::vector<GemmRow> gemm_rows();
Plan plan_gemm(Array a, Array b, bool column_sums, Precision precision, DeviceSpec spec, std::string const& variant);
// A row of csrc/gemm_choices.hpp: a, b, precision, capability, how a and b lie, batches, m, n, k, variant and splits.
using GemmMeasurement = std::tuple<std::string, std::string, std::string, int, std::string, std::string, int64_t,
                                   int64_t, int64_t, int64_t, std::string>;
// The plan if these had been measured.
Plan plan_gemm_measured(Array a, Array b, Precision precision, DeviceSpec spec, std::string const& variant,
                        std::vector<GemmMeasurement> const& rows);
// y = f(alpha scale_a scale_b (a b) + bias + beta residual), f the activation, or the product with its derivative at
// `saved`; sums: of y over all rows. Matrices have rank 2 or, in batches, 3; a transposed one is given as its columns.
// One matrix b of rank 2 serves all matrices of a (..., m, k).
NewArray gemm(Array const& a, Array const& b, DType dtype, OptionalArray const& bias, OptionalArray const& residual,
              OptionalArray const& saved, OptionalArray const& scale_a, OptionalArray const& scale_b,
              OptionalArray const& sums, double alpha, double beta, Activation activation, Precision precision,
              bool transpose_a, bool transpose_b, std::string const& variant, Caller const& caller);
// The same with what a layer leaves out: y (..., n) = f(x (..., k) weight^T (k, n) + bias), in the dtype of all three.
NewArray linear(Array const& x, Array const& weight, OptionalArray const& bias, Activation activation,
                Precision precision, Caller const& caller);

Plan plan_column_sum(int64_t rows, int64_t columns, DeviceSpec spec);
void column_sum(Array x, Array y, OptionalArray workspace, Stream stream);

// How a pooling window moves: one number for each spatial dimension.
struct PoolGeometry {
    Sizes kernel, stride, padding, dilation;
};

// y[i] = sum over splits of partial[split, i]; both dense.
void add_splits(float const* partial, int64_t splits, float* y, int64_t size, Stream stream);

void conv_forward(Array x, Array weight, OptionalArray bias, Array y, ConvGeometry geometry, Activation activation,
                  std::string const& variant, Stream stream);
void conv_input_gradient(Array dy, Array weight, Array dx, ConvGeometry geometry, std::string const& variant,
                         Stream stream);
Plan plan_conv_weight_gradient(Sizes const& weight_shape, int64_t pixels, DeviceSpec spec);
void conv_weight_gradient(Array dy, Array x, Array dweight, OptionalArray workspace, ConvGeometry geometry,
                          std::string const& variant, Stream stream);

void max_pool_forward(Array x, Array y, Array indices, PoolGeometry geometry, Stream stream);
void max_pool_backward(Array dy, Array indices, Array dx, PoolGeometry geometry, Stream stream);

void activation_forward(Array x, Array y, Activation activation, Stream stream);
void activation_backward(Array dy, Array saved, Array dx, Activation activation, Stream stream);

void dropout(Array x, Array y, double p, uint64_t seed, uint64_t offset, Stream stream);

void softmax_forward(Array x, Array y, bool log, Stream stream);
void softmax_backward(Array dy, Array y, Array dx, bool log, Stream stream);

void layer_norm_forward(Array x, OptionalArray weight, OptionalArray bias, Array y, Array mean, Array rstd, double eps,
                        Stream stream);
// The workspace is that of plan_column_sum; the two sums use it one after the other.
void layer_norm_backward(Array dy, Array x, Array mean, Array rstd, OptionalArray weight, Array dx, Array dweight,
                         Array dbias, OptionalArray workspace, Stream stream);

int64_t cross_entropy_workspace_bytes(int64_t rows);
void cross_entropy_forward(Array x, Array labels, OptionalArray weight, Array loss, Array normalizer,
                           OptionalArray gradient, Array workspace, int64_t ignore_index, double smoothing,
                           Reduction reduction, LossInput kind, Stream stream);
void cross_entropy_backward(Array dloss, Array gradient, Array normalizer, Array dx, Stream stream);

void attention_forward(Array q, Array k, Array v, OptionalArray mask, Array o, Array lse, double scale,
                       std::optional<int64_t> diagonal, Stream stream);
int64_t attention_backward_workspace_bytes(int64_t batch, int64_t heads, int64_t queries);
void attention_backward(Array grad_o, Array q, Array k, Array v, Array o, Array lse, OptionalArray mask, Array dq,
                        Array dk, Array dv, Array workspace, double scale, std::optional<int64_t> diagonal,
                        Stream stream);

// The bytes of the work list that the ops over lists of tensors write to.
int64_t tensor_list_bytes(int64_t count);
void adam(Arrays const& parameters, Arrays const& gradients, Arrays const& exp_avgs, Arrays const& exp_avg_sqs,
          Arrays const& steps, OptionalArray norm, Array workspace, AdamRates rates, Stream stream);
void sgd(Arrays const& parameters, Arrays const& gradients, Arrays const& momenta, Arrays const& steps,
         OptionalArray norm, Array workspace, SgdRates rates, Stream stream);
int64_t gradient_norm_workspace_bytes(Sizes const& sizes);
void gradient_norm(Arrays const& gradients, Array norm, Array list_workspace, Array workspace, Stream stream);

}  // namespace pylayers
