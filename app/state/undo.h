/// \file
/// Undo and redo of what the user turned: parameters of the analysis and the view of the maps.
#pragma once

#include "state/analysis_request.h"
#include "state/map_view.h"

#include <cstddef>
#include <deque>
#include <optional>
#include <vector>

namespace convscope {

/// The part of a MapView that a user would want back. A range that is not locked follows the values, so it is not part of it.
struct ViewSettings {
  CellWindow window;
  convbasis::MapQuantity quantity = convbasis::MapQuantity::probability;
  convbasis::Pooling pooling = convbasis::Pooling::mean;
  ScaleKind scale = ScaleKind::log;
  ColourMap colour_map = ColourMap::viridis;
  double quantile = 0.999;
  bool range_locked = false;
  Range range;                  ///< when locked
  double residual_limit = 0.0;  ///< when locked
  bool operator==(const ViewSettings&) const = default;
};

ViewSettings settings_of(const MapView& view);
void apply(const ViewSettings& settings, MapView& view);

struct UndoStep {
  AnalysisRequest request;
  ViewSettings view;
  bool operator==(const UndoStep&) const = default;
};

/// The history of one source. Watches the current state once a frame and makes one step of a whole drag: a change becomes a step
/// when it has rested and no mouse button is held. Cost: a comparison of two values a frame. One thread only.
class UndoHistory {
 public:
  static constexpr std::size_t most_steps = 200;
  static constexpr double settle_seconds = 0.7;

  /// `now` in seconds of a clock that only runs forwards. `held`: the user is in the middle of something. `shown_n`: tokens of
  /// the result on screen; when they change, the maps turn to the whole of it by themselves, which is no step of the user's.
  /// Another source clears the history.
  void watch(const UndoStep& current, double now, bool held, Index shown_n);
  /// The step before `current`, if any. What was changed and had not rested yet becomes a step first. What the next watch() sees
  /// is taken as this step, whatever the session made of it.
  std::optional<UndoStep> undo(const UndoStep& current);
  std::optional<UndoStep> redo(const UndoStep& current);
  bool can_undo(const UndoStep& current) const;
  bool can_redo(const UndoStep& current) const;
  void clear();
  std::size_t steps() const { return done_.size(); }
  /// A change is waiting to rest: somebody has to call watch() again.
  bool unsettled() const { return moved_.has_value(); }

 private:
  void record(const UndoStep& current);

  std::optional<UndoStep> resting_;  ///< the last state that rested
  std::optional<UndoStep> moved_;    ///< the newest state that did not
  double moved_at_ = 0.0;
  bool adopting_ = false;  ///< the next state seen is the step that was gone to
  Index shown_n_ = 0;
  std::deque<UndoStep> done_;     ///< oldest first
  std::vector<UndoStep> undone_;  ///< the next one to redo last
};

}  // namespace convscope
