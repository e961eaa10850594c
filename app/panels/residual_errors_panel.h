/// \file
/// The panel of errors: by row, as a histogram, the worst rows, and what is known about them.
#pragma once

#include "state/map_view.h"
#include "state/session.h"

#include <cstdint>
#include <vector>

namespace convscope {

class ResidualErrorsPanel {
 public:
  /// A click on a row pins it in the maps and brings it into their view.
  void draw(const Session& session, MapView& view);
  /// The plot alone, as high as the room: for an exported picture, on a copy of the panel.
  void draw_plot(const AnalysisResult& result, float width);

 private:
  void refresh(const AnalysisResult& result);
  void draw_by_row(const AnalysisResult& result, MapView& view, float width);
  void draw_histogram(const AnalysisResult& result, float width);
  static void draw_summary(const AnalysisResult& result);
  void draw_worst_rows(const AnalysisResult& result, MapView& view) const;

  bool histogram_ = false;
  // Made from the result of this id.
  std::uint64_t shown_id_ = 0;
  bool fit_ = false;
  std::vector<Index> worst_rows_;
  std::vector<double> variation_rows_;  ///< rows of row_total_variation, as plotted
};

}  // namespace convscope
