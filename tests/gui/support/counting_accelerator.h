/// \file
/// An accelerator that does all by the CPU's own code, and counts: what it did shows in no number.
#pragma once

#include "attention/accelerator.h"
#include "attention/exact_attention.h"

#include <atomic>
#include <memory>
#include <span>
#include <string>
#include <utility>

namespace convscope {

/// Leaves products of a conv basis to the CPU. Thread-safe.
class CountingAccelerator : public convbasis::Accelerator {
 public:
  explicit CountingAccelerator(std::string name) : name_(std::move(name)) {}

  std::string name() const override { return name_; }
  bool exact_attention(const convbasis::HeadView<float>& head, convbasis::MutableMatrixView<float> output, std::span<double> lse,
                       const convbasis::RunContext& context) const override {
    ++asked;
    if (declines) return false;
    convbasis::exact_attention<float>(head, output, lse, alone(context));
    return true;
  }
  bool exact_backward(const convbasis::HeadView<float>& head, const convbasis::BackwardInput<float>& forward,
                      const convbasis::HeadGradients<float>& gradients, const convbasis::RunContext& context) const override {
    ++asked_backward;
    if (declines) return false;
    convbasis::exact_backward<float>(head, forward, gradients, alone(context));
    return true;
  }
  std::unique_ptr<convbasis::AcceleratedProduct> product(const convbasis::AcceleratedWeights&,
                                                         const convbasis::RunContext&) const override {
    return nullptr;
  }

  mutable std::atomic<int> asked{0}, asked_backward{0};
  std::atomic<bool> declines{false};

 private:
  static convbasis::RunContext alone(convbasis::RunContext context) {
    context.accelerator = nullptr;
    return context;
  }

  std::string name_;
};

}  // namespace convscope
