// Tensor maps by the driver's encoder, found at run time so that the module loads where no driver is.
#include <cuda.h>
#include <cuda_runtime.h>

#include <cstring>

#include "csrc/runtime.hpp"
#include "csrc/tensor_map.hpp"

namespace pylayers {
namespace {

// The driver's function of this name, as it was in CUDA 12.0, the first with tensor maps.
template <class Function> Function* driver_function(char const* name) {
    void* function = nullptr;
    cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
    cudaError_t const error = cudaGetDriverEntryPointByVersion(name, &function, 12000, cudaEnableDefault, &found);
    if (error == cudaSuccess && found == cudaDriverEntryPointSuccess && function)
        return reinterpret_cast<Function*>(function);
    (void)cudaGetLastError();
    throw CudaFailure(std::string(name) +
                      ": the driver does not have it; kernels with TMA need a driver of CUDA 12.0 or newer" +
                      (error == cudaSuccess ? "" : std::string(": ") + cudaGetErrorString(error)));
}

CUtensorMapDataType data_type(TensorMapSpec const& s) {
    switch (s.dtype) {
        case DType::kFloat32:
            return s.tf32 ? CU_TENSOR_MAP_DATA_TYPE_TFLOAT32 : CU_TENSOR_MAP_DATA_TYPE_FLOAT32;
        case DType::kFloat16:
            return CU_TENSOR_MAP_DATA_TYPE_FLOAT16;
        case DType::kBfloat16:
            return CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
        case DType::kInt32:
            return CU_TENSOR_MAP_DATA_TYPE_INT32;
        default:
            return CU_TENSOR_MAP_DATA_TYPE_UINT8;
    }
}

CUtensorMapSwizzle swizzle(int bytes) {
    return bytes == 128  ? CU_TENSOR_MAP_SWIZZLE_128B
           : bytes == 64 ? CU_TENSOR_MAP_SWIZZLE_64B
           : bytes == 32 ? CU_TENSOR_MAP_SWIZZLE_32B
                         : CU_TENSOR_MAP_SWIZZLE_NONE;
}

// The spec as the driver takes it: strides in bytes from the second dimension on.
struct Arguments {
    cuuint64_t sizes[kMapRank], strides[kMapRank];
    cuuint32_t box[kMapRank], element_strides[kMapRank];

    explicit Arguments(TensorMapSpec const& s) {
        for (int i = 0; i < s.rank; ++i) {
            sizes[i] = cuuint64_t(s.sizes[i]);
            box[i] = cuuint32_t(s.box[i]);
            element_strides[i] = cuuint32_t(s.element_strides[i]);
            if (i > 0) strides[i - 1] = cuuint64_t(s.strides[i] * info(s.dtype).bytes);
        }
    }
};

}  // namespace

ptx::TensorMap encode(TensorMapSpec const& s) {
    ptx::TensorMap map{};
    if (recording()) {
        static_assert(sizeof s.data <= sizeof map);
        std::memcpy(&map, &s.data, sizeof s.data);
        return map;
    }
    Arguments const a(s);
    void* const data = const_cast<void*>(s.data);
    CUresult error;
    if (s.im2col) {
        static auto* const encode_im2col =
            driver_function<decltype(cuTensorMapEncodeIm2col)>("cuTensorMapEncodeIm2col");
        error = encode_im2col(&map, data_type(s), cuuint32_t(s.rank), data, a.sizes, a.strides, s.lower.data(),
                              s.upper.data(), a.box[0], a.box[1], a.element_strides, CU_TENSOR_MAP_INTERLEAVE_NONE,
                              swizzle(s.swizzle_bytes), CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                              CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    } else {
        static auto* const encode_tiled = driver_function<decltype(cuTensorMapEncodeTiled)>("cuTensorMapEncodeTiled");
        error = encode_tiled(&map, data_type(s), cuuint32_t(s.rank), data, a.sizes, a.strides, a.box, a.element_strides,
                             CU_TENSOR_MAP_INTERLEAVE_NONE, swizzle(s.swizzle_bytes),
                             CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    }
    if (error != CUDA_SUCCESS)
        throw CudaFailure("tensor_map: the driver refuses this map with error " + std::to_string(int(error)));
    return map;
}

}  // namespace pylayers
