/// \file
/// A rectangle of cells that the user draws on the maps with Shift held, what its cells amount to, and numbers for the clipboard.
#pragma once

#include "panels/map_layout.h"
#include "panels/map_readout.h"
#include "state/latest_job.h"
#include "state/map_view.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace convscope {

/// Window thread only. Statistics and text are made in the background; `wake` is called when another frame should be drawn.
class MapSelection {
 public:
  using Analysis = std::shared_ptr<const convbasis::HeadAnalysis<float>>;

  explicit MapSelection(const std::function<void()>& wake) : statistics_job_(wake), text_job_(wake) {}

  /// Once a frame: asks for what is missing and takes what has come. `approximation_id` names the analysis.
  void follow(const Analysis& analysis, std::uint64_t approximation_id, const MapView& view);
  /// While the map is the active item. True when this drag draws a selection, and does not pan.
  bool steer(MapView& view, CellIndex cell, convbasis::Index n);
  /// The rectangle itself.
  static void draw(const MapView& view, const MapFrame& frame, ImU32 colour);
  /// What is known of it, for the map of one kind; empty without a selection.
  std::vector<std::string> lines(const MapView& view, convbasis::MapKind kind) const;

  /// Puts the causal cells of a region on the clipboard once they are written, as region_as_text() does.
  void copy(const Analysis& analysis, const convbasis::MapRegion& region, convbasis::MapQuantity quantity);
  /// Why the last copy failed, once; empty normally.
  std::string take_problem();
  bool settled() const { return !statistics_job_.busy() && !text_job_.busy(); }

 private:
  struct Basis {
    convbasis::MapRegion region;
    convbasis::MapQuantity quantity{};
    std::uint64_t approximation_id = 0;
    bool operator==(const Basis&) const = default;
  };

  std::string told_;                 ///< the problem that was taken last
  std::optional<CellIndex> anchor_;  ///< where the drag began
  std::optional<Basis> asked_;
  std::optional<convbasis::RegionStatistics> statistics_;
  LatestJob<convbasis::RegionStatistics> statistics_job_;
  LatestJob<std::string> text_job_;
};

}  // namespace convscope
