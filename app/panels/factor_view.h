/// \file
/// What a matrix of low rank is made of, in place of lag vectors: the singular vectors and values of P, or the polynomial that
/// features put in the place of exp.
#pragma once

#include "state/analysis_runner.h"
#include "state/lag_curve.h"
#include "state/map_view.h"

#include <cstdint>
#include <vector>

namespace convscope {

/// Part of the Basis panel. Window thread only.
class FactorView {
 public:
  /// `view.shown()` marks its row, or its column. The analysis is of low rank.
  void draw(const AnalysisResult& result, const MapView& view);
  /// The plot alone, as high as the room.
  void draw_plot(const AnalysisResult& result, float width);

 private:
  void refresh(const AnalysisResult& result);
  void draw_choices();
  /// exp and what features make of it, over the scores that the polynomial is for.
  static void draw_polynomial(const convbasis::ExpPolynomial& polynomial, float width);
  /// `marked`: the row or column that is pointed at, -1 for none.
  void draw_vectors(const AnalysisResult& result, Index highlighted, Index marked, float width);
  /// Returns the singular value under the mouse, -1 for none.
  static Index draw_values(const AnalysisResult& result, Index highlighted);

  bool right_ = true;             ///< V against the column rather than U against the row
  std::vector<LagCurve> curves_;  ///< one for each singular value
  bool curves_right_ = true;      ///< what they were made from, with the next
  std::uint64_t curves_of_ = 0;
  Range range_;       ///< of the curves that are drawn
  bool fit_ = false;  ///< the axes should span the curves anew
  Index hovered_ = -1;
};

}  // namespace convscope
