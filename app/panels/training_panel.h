/// \file
/// The panel of training: the paper's one-layer problem by three backward passes, and the gradients of the loaded head.
#pragma once

#include "panels/gradient_maps.h"
#include "panels/head_gradients_page.h"
#include "panels/training_curves.h"
#include "state/head_gradients.h"
#include "state/session.h"
#include "state/training_request.h"
#include "state/training_runner.h"
#include "state/training_times.h"

#include <array>
#include <cstdint>
#include <string>
#include <utility>

namespace convscope {

/// Window thread only.
class TrainingPanel {
 public:
  enum class Page : std::uint8_t { one_layer, head };

  /// Drawn while visible only.
  void draw(const Session& session, TrainingRunner& runner, TrainingTimes& times, HeadGradients& gradients,
            const ChosenDevice& device);

  Page page() const { return page_; }
  void show(Page page) { page_ = page; }
  const TrainingRequest& request() const { return request_; }
  void set_request(const TrainingRequest& request) { request_ = clamped(request); }

 private:
  enum class View : std::uint8_t { setup, loss, error, maps, times };
  static constexpr std::array<std::pair<View, const char*>, 5> views{{{View::setup, "setup"},
                                                                      {View::loss, "loss"},
                                                                      {View::error, "gradient error"},
                                                                      {View::maps, "gradients"},
                                                                      {View::times, "time"}}};

  /// What a view will show, while there is nothing.
  static const char* promise(View which);
  void draw_precision();
  void draw_one_layer(TrainingRunner& runner, TrainingTimes& times);
  void draw_buttons(const TrainingRequest& wanted, const TrainingView& view, TrainingRunner& runner) const;
  void draw_views(bool setup_beside);
  void draw_view(View which, ImVec2 room, const TrainingView& view, TrainingTimes& times);
  void draw_all_views(ImVec2 room, const TrainingView& view, TrainingTimes& times);
  void draw_maps(ImVec2 room, const TrainingView& view);
  void draw_times(ImVec2 room, TrainingTimes& times);

  Page page_ = Page::one_layer;
  View view_ = View::loss;
  TrainingRequest request_;
  ChosenDevice device_;     ///< in this frame
  std::uint64_t seed_ = 1;  ///< of the output gradient of a head
  TrainingCurves curves_;
  GradientMaps maps_;
  std::uint64_t maps_version_ = 0;  ///< of the view that maps_ is made of
  HeadGradientsPage head_;
};

/// What has come out so far, in a line: losses, and how far apart the curves are.
std::string findings(const TrainingResult& result);

}  // namespace convscope
