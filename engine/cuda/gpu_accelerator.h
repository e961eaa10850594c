/// \file
/// A GPU as the accelerator of a run: it does what it can, and what it cannot the CPU does.
#pragma once

#include "attention/accelerator.h"
#include "cuda/gpu.h"

#include <memory>
#include <string>

namespace convbasis {

/// From so many tokens on exact attention looks whether Q, K and V are half-precision numbers, as they are in many a file, and
/// has tensor cores multiply them if so. With fewer, looking takes longer than it saves: by prediction (docs/gpu.md), not
/// measured.
inline constexpr Index tokens_for_halves = 32768;

/// Leaves to the CPU heads of fewer than `smallest` tokens, heads that are given by their scores, and widths beyond
/// widest_on_gpu. When the device fails or runs out of memory, the call is left to the CPU too, and a warning is kept; the next
/// call tries again. Thread-safe. What it makes may outlive it.
class GpuAccelerator : public Accelerator {
 public:
  /// Throws InvalidArgument, saying why, unless the GPU is ready and has such a device.
  GpuAccelerator(std::shared_ptr<const Gpu> gpu, int device, Index smallest, Index smallest_narrow = tokens_for_halves);
  ~GpuAccelerator() override;

  std::string name() const override;
  bool exact_attention(const HeadView<float>& head, MutableMatrixView<float> output, std::span<double> lse,
                       const RunContext& context) const override;
  bool exact_backward(const HeadView<float>& head, const BackwardInput<float>& forward, const HeadGradients<float>& gradients,
                      const RunContext& context) const override;
  std::unique_ptr<AcceleratedProduct> product(const AcceleratedWeights& weights, const RunContext& context) const override;

  /// Whether the device has done anything yet.
  bool used() const;
  /// One line about the first failure since the last call; empty: none.
  std::string take_warning() const;

 private:
  class Device;
  class Product;
  bool takes(const HeadView<float>& head) const;

  std::shared_ptr<Device> device_;
  Index smallest_, smallest_narrow_;
};

}  // namespace convbasis
