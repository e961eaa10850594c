/// \file
/// The panel of the recovered conv basis: lag vectors against the lag, starts and extents of the segments. Low rank has a view of
/// its own in their place.
#pragma once

#include "panels/factor_view.h"
#include "state/lag_curve.h"
#include "state/map_view.h"
#include "state/session.h"

#include <cstdint>
#include <vector>

namespace convscope {

class BasisPanel {
 public:
  /// `view.hovered` says which segment to highlight.
  void draw(const Session& session, const MapView& view);
  /// The plot alone, of all lag vectors, as high as the room: for an exported picture, on a copy of the panel.
  void draw_plot(const AnalysisResult& result, float width);

 private:
  struct Look {
    bool differences = false;  ///< the paper's b_r instead of u_r
    bool weights = true;       ///< exp of the scores instead of the scores
    bool operator==(const Look&) const = default;
    /// Differences of weights have both signs, so only weights themselves fit on a logarithmic axis.
    bool logarithmic() const { return weights && !differences; }
  };

  void refresh(const AnalysisResult& result);
  void draw_choices(bool fit);
  void draw_curves(const AnalysisResult& result, Index highlighted, float width);
  /// Returns the segment under the mouse, -1 for none.
  static Index draw_table(const AnalysisResult& result, Index highlighted, bool extents);

  Look look_;
  FactorView factors_;
  // The curves on screen and what they were made from.
  std::vector<LagCurve> curves_;
  Look curves_look_;
  std::uint64_t curves_of_ = 0;
  bool fit_ = false;  ///< the axes should span the curves anew
  Range range_;       ///< of the curves' values
  Index hovered_in_table_ = -1;
};

}  // namespace convscope
