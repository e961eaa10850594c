#include "state/accelerator_record.h"

#include <utility>

namespace convscope {

using convbasis::RunContext;

/// What has been planned is not done yet: only a multiplication is.
class AcceleratorRecord::Product : public convbasis::AcceleratedProduct {
 public:
  Product(std::unique_ptr<convbasis::AcceleratedProduct> to, std::atomic<bool>& done) : to_(std::move(to)), done_(done) {}

  bool apply(convbasis::MatrixView<float> value, bool transpose, convbasis::MutableMatrixView<float> output,
             const RunContext& context) const override {
    if (!to_->apply(value, transpose, output, context)) return false;
    done_ = true;
    return true;
  }

 private:
  std::unique_ptr<convbasis::AcceleratedProduct> to_;
  std::atomic<bool>& done_;  // of the record, which outlives its products
};

bool AcceleratorRecord::exact_attention(const convbasis::HeadView<float>& head, convbasis::MutableMatrixView<float> output,
                                        std::span<double> lse, const RunContext& context) const {
  if (!to_->exact_attention(head, output, lse, context)) return false;
  attention_ = true;
  return true;
}

bool AcceleratorRecord::exact_backward(const convbasis::HeadView<float>& head, const convbasis::BackwardInput<float>& forward,
                                       const convbasis::HeadGradients<float>& gradients, const RunContext& context) const {
  if (!to_->exact_backward(head, forward, gradients, context)) return false;
  other_ = true;
  return true;
}

std::unique_ptr<convbasis::AcceleratedProduct> AcceleratorRecord::product(const convbasis::AcceleratedWeights& weights,
                                                                          const RunContext& context) const {
  auto made = to_->product(weights, context);
  return made ? std::make_unique<Product>(std::move(made), other_) : nullptr;
}

}  // namespace convscope
