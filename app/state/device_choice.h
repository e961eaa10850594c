/// \file
/// Which device the window computes on. The GPU module is loaded in the background, and only when it is wished for.
#pragma once

#include "cuda/gpu_accelerator.h"
#include "state/device_wish.h"
#include "state/gpu.h"
#include "state/latest_job.h"

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

namespace convscope {

/// All methods are for one thread (the window's) and return at once; `wake` is called from a worker when poll() has something to
/// take. Destruction waits for a module that is being loaded.
class DeviceChoice {
 public:
  /// Loading takes 100 ms and more where there is a GPU.
  using Load = std::function<std::shared_ptr<const convbasis::Gpu>()>;

  explicit DeviceChoice(std::function<void()> wake, Load load = open_gpu) : load_(std::move(load)), job_(std::move(wake)) {}

  /// From here on this is computed on. Begins to look for GPUs unless that was done before, or the wish is the CPU, and gives back
  /// what is kept on a GPU when it is.
  void want(const DeviceWish& wish);
  /// Takes what was found. True when it is now known what there is. Call once a frame.
  bool poll();

  const DeviceWish& wish() const { return chosen_.wish; }
  const ChosenDevice& chosen() const { return chosen_; }
  /// A GPU is being looked for, and the wish depends on it.
  bool looking() const { return !chosen_.known; }
  /// Null before anything was looked for.
  const convbasis::GpuStatus* status() const { return gpu_ ? &gpu_->status() : nullptr; }
  /// Whether this GPU may be wished for: it is there, or that is not known yet.
  bool may_be(int number) const;
  /// "GPU 0 (name)", or without the name "GPU 0" where there is no such, or not yet.
  std::string name_of_gpu(int number) const;
  /// What there is to say about choosing it, in a line: the reason when there is none, in GpuStatus' own words.
  std::string about_gpu(int number) const;

  /// One line when the wish cannot be fulfilled, or when a GPU failed since the last call and the CPU did its work; empty
  /// otherwise. The same is said again only after another wish.
  std::string take_warning();

 private:
  void choose();
  /// As missing_gpu(), once it is known what there is.
  std::string missing(const DeviceWish& wish) const;
  bool is_news(const std::string& warning);

  Load load_;
  ChosenDevice chosen_;
  std::shared_ptr<const convbasis::Gpu> gpu_;                             ///< null until it was loaded
  std::map<int, std::shared_ptr<const convbasis::GpuAccelerator>> used_;  ///< one for each GPU, so that equal means the same one
  std::string failure_;                                                   ///< why it could not be loaded; empty normally
  std::set<std::string> said_;                                            ///< warnings since the last wish, without numbers
  bool asked_ = false;
  LatestJob<std::shared_ptr<const convbasis::Gpu>> job_;  ///< last: its thread ends before the rest goes
};

}  // namespace convscope
