#include "cuda/gpu_accelerator.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <utility>

namespace convbasis {

/// The device with what has happened on it; shared by the accelerator and the products that it has made.
class GpuAccelerator::Device {
 public:
  Device(std::shared_ptr<const Gpu> gpu, int number) : gpu_(std::move(gpu)), number_(number) {
    const GpuStatus& status = gpu_->status();
    if (!status.ready()) throw InvalidArgument("there is no GPU to compute on: " + status.why);
    if (number < 0 || number >= std::ssize(status.devices)) {
      throw InvalidArgument("there is no GPU " + std::to_string(number) + "; there are GPUs 0 to " +
                            std::to_string(status.devices.size() - 1));
    }
  }

  const Gpu& gpu() const { return *gpu_; }
  int number() const { return number_; }
  std::string name() const {
    return "GPU " + std::to_string(number_) + " (" + gpu_->status().devices[static_cast<std::size_t>(number_)].name + ")";
  }
  bool used() const { return used_; }

  /// True when work() was done; false, with a warning kept, when the device failed.
  template <class Work>
  bool try_to(const Work& work) {
    try {
      work();
      used_ = true;
      return true;
    } catch (const GpuError& error) {
      const std::scoped_lock lock(mutex_);
      const char* what = error.out_of_memory() ? " has too little memory" : " failed";
      if (warning_.empty()) warning_ = name() + what + ", and the CPU did its work: " + error.what();
      return false;
    }
  }

  std::string take_warning() {
    const std::scoped_lock lock(mutex_);
    return std::exchange(warning_, {});
  }

 private:
  std::shared_ptr<const Gpu> gpu_;
  int number_;
  std::atomic<bool> used_ = false;
  std::mutex mutex_;
  std::string warning_;  // guarded by mutex_
};

class GpuAccelerator::Product : public AcceleratedProduct {
 public:
  Product(std::shared_ptr<Device> device, GpuPlan plan) : device_(std::move(device)), plan_(std::move(plan)) {}

  bool apply(MatrixView<float> value, bool transpose, MutableMatrixView<float> output, const RunContext& context) const override {
    return device_->try_to(
        [&] { transpose ? plan_.apply_transpose(value, output, context) : plan_.apply(value, output, context); });
  }

 private:
  std::shared_ptr<Device> device_;  // outlives the plan
  GpuPlan plan_;
};

GpuAccelerator::GpuAccelerator(std::shared_ptr<const Gpu> gpu, int device, Index smallest, Index smallest_narrow)
    : device_(std::make_shared<Device>(std::move(gpu), device)), smallest_(smallest), smallest_narrow_(smallest_narrow) {}

GpuAccelerator::~GpuAccelerator() = default;

std::string GpuAccelerator::name() const { return device_->name(); }
bool GpuAccelerator::used() const { return device_->used(); }
std::string GpuAccelerator::take_warning() const { return device_->take_warning(); }

bool GpuAccelerator::takes(const HeadView<float>& head) const {
  return head.size() >= smallest_ && head.matrix == nullptr && std::max(head.width(), head.value_width()) <= widest_on_gpu;
}

bool GpuAccelerator::exact_attention(const HeadView<float>& head, MutableMatrixView<float> output, std::span<double> lse,
                                     const RunContext& context) const {
  if (!takes(head)) return false;
  const GpuStorage storage = head.size() >= smallest_narrow_ ? GpuStorage::narrow : GpuStorage::f32;
  return device_->try_to([&] { device_->gpu().exact_attention(device_->number(), head, output, lse, context, storage); });
}

bool GpuAccelerator::exact_backward(const HeadView<float>& head, const BackwardInput<float>& forward,
                                    const HeadGradients<float>& gradients, const RunContext& context) const {
  if (!takes(head)) return false;
  return device_->try_to([&] { device_->gpu().exact_backward(device_->number(), head, forward, gradients, context); });
}

std::unique_ptr<AcceleratedProduct> GpuAccelerator::product(const AcceleratedWeights& weights, const RunContext& context) const {
  if (weights.size < smallest_) return nullptr;
  std::unique_ptr<AcceleratedProduct> result;
  device_->try_to([&] { result = std::make_unique<Product>(device_, device_->gpu().plan(device_->number(), weights, context)); });
  return result;
}

}  // namespace convbasis
