/// \file
/// Attention on a GPU: the verbs of attention/ and basis/, done by a module that is loaded at run time (module_table.h). A
/// machine without the module, a driver or a device is an ordinary case and is told apart.
#pragma once

#include "attention/accelerator.h"
#include "attention/exact_backward.h"
#include "attention/head.h"
#include "basis/conv_weights.h"
#include "core/errors.h"
#include "core/run_context.h"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

struct ConvbasisCudaPool;
struct ConvbasisCudaTable;

namespace convbasis {

/// The device refused or failed. What the call had written is unspecified; nothing stays taken.
class GpuError : public Error {
 public:
  GpuError(const std::string& text, bool out_of_memory) : Error(text), out_of_memory_(out_of_memory) {}
  bool out_of_memory() const { return out_of_memory_; }

 private:
  bool out_of_memory_;
};

struct GpuDevice {
  std::string name;
  int major = 0, minor = 0;  ///< compute capability
  std::uint64_t memory = 0;  ///< bytes
  int ordinal = 0;           ///< the number that CUDA gives it, which counts those that are too old, too
};

/// What there is to compute on, and if nothing, why.
struct GpuStatus {
  enum class Kind { ready, no_module, no_driver, no_device, too_old };
  Kind kind = Kind::no_module;
  std::string why;                 ///< one line for people
  std::vector<GpuDevice> devices;  ///< when ready: those that the module can compute on

  bool ready() const { return kind == Kind::ready; }
};

/// Widest value and query that the kernels take.
inline constexpr Index widest_on_gpu = 256;
/// The oldest compute capability that the module is built for: 7.5.
inline constexpr int oldest_major = 7, oldest_minor = 5;

/// How query, key and value go to the device and, for exact attention, are stored and multiplied there. Results are float.
enum class GpuStorage : std::uint8_t {
  f32,
  narrow,  ///< as half-precision numbers, on tensor cores, when all of them are such; else as f32. Looking at them costs time
           ///< too.
};

class GpuPlan;

/// The module, loaded. Calls from several threads are safe, and share the device. Memory, streams and FFT plans are kept between
/// calls.
class Gpu {
 public:
  /// Never throws for what a machine lacks: status() says it. Loads the module from `path`.
  explicit Gpu(const std::filesystem::path& path);
  /// From a table that is linked in: for tests of the kernels on the CPU.
  explicit Gpu(const ConvbasisCudaTable* table);
  ~Gpu();
  Gpu(const Gpu&) = delete;
  Gpu& operator=(const Gpu&) = delete;

  const GpuStatus& status() const { return status_; }
  /// The module's own functions, which take many heads at once; null without a module.
  const ConvbasisCudaTable* table() const { return table_; }

  // All that follows needs status().ready(), and throws InvalidArgument (shapes, a width beyond widest_on_gpu, a head given by
  // its scores, no such device), GpuError, Cancelled.

  /// As convbasis::exact_attention().
  void exact_attention(int device, const HeadView<float>& head, MutableMatrixView<float> output, std::span<double> lse,
                       const RunContext& context = {}, GpuStorage storage = GpuStorage::f32) const;
  /// As convbasis::exact_backward().
  void exact_backward(int device, const HeadView<float>& head, const BackwardInput<float>& forward,
                      const HeadGradients<float>& gradients, const RunContext& context = {},
                      GpuStorage storage = GpuStorage::f32) const;
  /// The lag vectors of the columns `starts`, ascending: what Recover reads once it has found them.
  std::vector<std::vector<float>> score_columns(int device, const HeadView<float>& head, std::span<const Index> starts,
                                                const RunContext& context = {}, GpuStorage storage = GpuStorage::f32) const;
  /// As ConvAttentionPlan.
  GpuPlan plan(int device, const std::shared_ptr<const ConvWeights<float>>& weights, Index columns, Index block = 0,
               const RunContext& context = {}) const;
  GpuPlan plan(int device, const AcceleratedWeights& weights, const RunContext& context = {}) const;

  /// Gives back what is kept on the devices and no call is using.
  void release_memory() const;

 private:
  void look_for_devices();
  void require_device(int device) const;
  /// Of a device that there is; made when it is first asked for.
  ConvbasisCudaPool* pool(int device) const;

  void* library_ = nullptr;
  const ConvbasisCudaTable* table_ = nullptr;
  GpuStatus status_;
  mutable std::mutex mutex_;
  mutable std::vector<ConvbasisCudaPool*> pools_;  // by device, null until made; guarded by mutex_
};

/// P~ on a device. The Gpu must outlive it. Rows that underflow are 0; no row is rescued: see ConvAttentionPlan for those.
class GpuPlan {
 public:
  GpuPlan(GpuPlan&&) noexcept;
  GpuPlan& operator=(GpuPlan&&) noexcept;
  ~GpuPlan();

  /// output = P~ value, and output = P~^T value; n x columns.
  void apply(MatrixView<float> value, MutableMatrixView<float> output, const RunContext& context = {},
             GpuStorage storage = GpuStorage::f32) const;
  void apply_transpose(MatrixView<float> value, MutableMatrixView<float> output, const RunContext& context = {},
                       GpuStorage storage = GpuStorage::f32) const;

 private:
  friend class Gpu;
  struct State;
  explicit GpuPlan(std::unique_ptr<State> state);
  void run(MatrixView<float> value, bool transpose, MutableMatrixView<float> output, const RunContext& context,
           GpuStorage storage) const;
  std::unique_ptr<State> state_;
};

}  // namespace convbasis
