/// \file
/// An accelerator that remembers what it has done, so that a report credits a GPU for its own work only.
#pragma once

#include "attention/accelerator.h"

#include <atomic>
#include <memory>
#include <string>

namespace convscope {

/// Passes everything on to another accelerator. For one piece of work; thread-safe, as that one is.
class AcceleratorRecord : public convbasis::Accelerator {
 public:
  /// `to` must not be null.
  explicit AcceleratorRecord(std::shared_ptr<const convbasis::Accelerator> to) : to_(std::move(to)) {}

  std::string name() const override { return to_->name(); }
  bool exact_attention(const convbasis::HeadView<float>& head, convbasis::MutableMatrixView<float> output, std::span<double> lse,
                       const convbasis::RunContext& context) const override;
  bool exact_backward(const convbasis::HeadView<float>& head, const convbasis::BackwardInput<float>& forward,
                      const convbasis::HeadGradients<float>& gradients, const convbasis::RunContext& context) const override;
  std::unique_ptr<convbasis::AcceleratedProduct> product(const convbasis::AcceleratedWeights& weights,
                                                         const convbasis::RunContext& context) const override;

  bool did_attention() const { return attention_; }           ///< exact attention, at least once
  bool did_anything() const { return attention_ || other_; }  ///< that, or gradients, or the product of a conv basis

 private:
  class Product;

  std::shared_ptr<const convbasis::Accelerator> to_;
  mutable std::atomic<bool> attention_ = false;
  mutable std::atomic<bool> other_ = false;
};

}  // namespace convscope
