/// \file
/// A GPU module that has devices and does nothing: every verb fails with a text of the test's.
#pragma once

#include "cuda/gpu.h"
#include "cuda/module_table.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <string>

namespace convscope {

/// One at a time: the module's functions have no state of their own.
class FakeGpu {
 public:
  explicit FakeGpu(int devices = 1) { count() = devices; }

  static std::shared_ptr<const convbasis::Gpu> load() {
    static const ConvbasisCudaTable table = make_table();
    return std::make_shared<const convbasis::Gpu>(&table);
  }
  /// What went wrong, for calls from now on.
  static std::string& problem() {
    static std::string text = "cudaMalloc: no such luck";
    return text;
  }
  /// How often it was asked to give back memory.
  static std::atomic<int>& releases() {
    static std::atomic<int> made{0};
    return made;
  }
  /// How often it was asked to compute.
  static std::atomic<int>& calls() {
    static std::atomic<int> made{0};
    return made;
  }

 private:
  static int& count() {
    static int devices = 1;
    return devices;
  }
  static int find(ConvbasisCudaDevice* devices, int capacity, int* found, const ConvbasisCudaCall*) {
    *found = std::min(count(), capacity);
    for (int d = 0; d < *found; ++d) {
      devices[d] = {};
      std::strcpy(devices[d].name, ("fake " + std::to_string(d)).c_str());
      devices[d].major = 9;
      devices[d].memory = std::uint64_t{8} << 30U;
    }
    return CONVBASIS_CUDA_DONE;
  }
  static int fail(const ConvbasisCudaCall* call) {
    ++calls();
    const std::string& text = problem();
    std::strncpy(call->text, text.c_str(), call->text_size - 1);
    return CONVBASIS_CUDA_FAILED;
  }
  static ConvbasisCudaTable make_table() {
    ConvbasisCudaTable table{};
    table.version = CONVBASIS_CUDA_VERSION;
    table.devices = find;
    table.create_pool = [](int, ConvbasisCudaPool** pool, const ConvbasisCudaCall*) {
      static int place;  // a pool of nothing
      *pool = reinterpret_cast<ConvbasisCudaPool*>(&place);
      return int{CONVBASIS_CUDA_DONE};
    };
    table.release_memory = [](ConvbasisCudaPool*) { ++releases(); };
    table.destroy_pool = [](ConvbasisCudaPool*) {};
    table.exact_attention = [](const ConvbasisCudaHeads*, float* const*, int64_t, double* const*, const ConvbasisCudaCall* call) {
      return fail(call);
    };
    table.exact_backward = [](const ConvbasisCudaHeads*, const float* const*, const double* const*, const float* const*, int64_t,
                              float* const*, float* const*, float* const*, const ConvbasisCudaCall* call) { return fail(call); };
    table.create_plan = [](const ConvbasisCudaWeights*, ConvbasisCudaPlan**, const ConvbasisCudaCall* call) {
      return fail(call);
    };
    table.destroy_plan = [](ConvbasisCudaPlan*) {};
    return table;
  }
};

}  // namespace convscope
