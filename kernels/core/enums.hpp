// Choices and rates that kernels, launchers and Python name alike; each choice with the words that Python says for it.
#pragma once
#include <string_view>
#include <utility>

namespace pylayers {

enum class Activation { kNone, kRelu, kSigmoid, kTanh, kGelu, kGeluTanh, kSilu };

constexpr std::pair<std::string_view, Activation> kActivationWords[] = {
    {"none", Activation::kNone}, {"relu", Activation::kRelu}, {"sigmoid", Activation::kSigmoid},
    {"tanh", Activation::kTanh}, {"gelu", Activation::kGelu}, {"gelu_tanh", Activation::kGeluTanh},
    {"silu", Activation::kSilu},
};
constexpr auto& words(Activation) { return kActivationWords; }

// The least precise products that a float32 matrix product may be made of.
enum class Precision { kFloat32, kTf32 };

constexpr std::pair<std::string_view, Precision> kPrecisionWords[] = {{"float32", Precision::kFloat32},
                                                                      {"tf32", Precision::kTf32}};
constexpr auto& words(Precision) { return kPrecisionWords; }

// What the rows given to a cross-entropy are.
enum class LossInput { kLogits, kLogProbabilities, kProbabilities };

constexpr std::pair<std::string_view, LossInput> kLossInputWords[] = {
    {"logits", LossInput::kLogits},
    {"log_probabilities", LossInput::kLogProbabilities},
    {"probabilities", LossInput::kProbabilities},
};
constexpr auto& words(LossInput) { return kLossInputWords; }

enum class Reduction { kNone, kMean, kSum };

constexpr std::pair<std::string_view, Reduction> kReductionWords[] = {
    {"none", Reduction::kNone}, {"mean", Reduction::kMean}, {"sum", Reduction::kSum}};
constexpr auto& words(Reduction) { return kReductionWords; }

// How Adam corrects its moments: not at all, each moment by itself (torch), or folded into the rate (Keras).
enum class BiasCorrection { kNone, kSeparate, kFolded };

constexpr std::pair<std::string_view, BiasCorrection> kBiasCorrectionWords[] = {
    {"none", BiasCorrection::kNone}, {"separate", BiasCorrection::kSeparate}, {"folded", BiasCorrection::kFolded}};
constexpr auto& words(BiasCorrection) { return kBiasCorrectionWords; }

// What the optimizers are told beside their tensors, as `contract.AdamRates` and `contract.SgdRates`.
struct AdamRates {
    double lr, beta1, beta2, eps, weight_decay;
    bool decoupled, maximize;
    BiasCorrection bias_correction;
};
struct SgdRates {
    double lr, momentum, dampening, weight_decay;
    bool nesterov, maximize;
};

}  // namespace pylayers
