/// \file
/// The panel of errors: by row, as a histogram, against k, the worst rows, and what is known about them.
#pragma once

#include "panels/ladder_view.h"
#include "state/error_curve.h"
#include "state/head_ladder.h"
#include "state/map_view.h"
#include "state/session.h"
#include "view/log_histogram.h"

#include <imgui.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

namespace convscope {

class ResidualErrorsPanel {
 public:
  enum class Tab : std::uint8_t { rows, histogram, against_k, ladder, numbers };

  /// A click on a row pins it in the maps and brings it into their view; a click or drag in the curve against k sets k.
  void draw(Session& session, MapView& view, const ErrorCurve& curve, const HeadLadder& ladder);
  void show(Tab tab) { tab_ = tab; }
  Tab tab() const { return tab_; }
  /// The plot of errors by row, or their histogram, as high as the room: for an exported picture, on a copy of the panel.
  void draw_plot(const AnalysisResult& result, float width);
  /// Where the curve against k was last drawn, in screen pixels: lessons point at it, tests click into it.
  ImVec4 curve_rectangle() const { return curve_rectangle_; }

 private:
  struct CurveColumns {
    std::vector<double> k, error;  ///< as plotted
    double least = INFINITY;       ///< of the errors above 0
    double most = 0.0;
  };

  static CurveColumns columns_of(const ErrorCurveView& curve);
  /// The mouse is over the plot: a tooltip, and k while the button is down.
  static void choose_k(Session& session, const ErrorCurveView& curve);
  void refresh(const AnalysisResult& result);
  void draw_tabs(bool numbers_beside, bool against_k);
  void draw_by_row(const AnalysisResult& result, MapView& view, float width);
  void point_at_row(const AnalysisResult& result, MapView& view) const;
  void draw_histogram(float width);
  void draw_against_k(Session& session, const ErrorCurve& curve, float width);
  void draw_numbers(const AnalysisResult& result, MapView& view) const;
  static void draw_summary(const AnalysisResult& result);
  void draw_worst_rows(const AnalysisResult& result, MapView& view) const;

  Tab tab_ = Tab::rows;
  LadderView ladder_;
  ImVec4 curve_rectangle_;
  // Made from the result of this id.
  std::shared_ptr<const convbasis::HeadAnalysis<float>> shown_;  ///< whose numbers the members below hold
  bool fit_ = false;
  bool fit_histogram_ = false;
  std::vector<double> rows_;            ///< rows of row_error, ascending, as plotted
  std::vector<std::size_t> worst_;      ///< places in row_error
  std::vector<double> variation_rows_;  ///< rows of row_total_variation, as plotted
  LogHistogram histogram_;
};

}  // namespace convscope
