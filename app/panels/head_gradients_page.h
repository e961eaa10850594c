/// \file
/// The page of the Training panel about the loaded head: its gradients by the three backward passes.
#pragma once

#include "panels/gradient_maps.h"
#include "state/head_gradients.h"
#include "state/session.h"

#include <cstdint>
#include <memory>
#include <string>

namespace convscope {

/// Window thread only.
class HeadGradientsPage {
 public:
  /// Says what is wanted, and draws what there is into the rest of the panel.
  void draw(const Session& session, HeadGradients& gradients, std::uint64_t& seed, Precision precision,
            const ChosenDevice& device);

 private:
  enum class Of : std::uint8_t { errors, query, key, value };

  void draw_choices(const HeadGradients& gradients, std::uint64_t& seed, Precision precision, bool errors_seen);
  static void draw_errors(const HeadGradients::Comparison& comparison);
  void refresh(const std::shared_ptr<const HeadGradients::Comparison>& comparison);

  Of of_ = Of::errors;
  GradientMaps maps_;
  // What maps_ is made of.
  std::shared_ptr<const HeadGradients::Comparison> shown_;
  Of shown_of_ = Of::query;
};

/// What the errors of a comparison mean, in a sentence.
std::string verdict(const HeadGradients::Comparison& comparison);

}  // namespace convscope
