/// \file
/// The panel of parameters: the method, k and n; for Recover eps, delta, T, the search, and k from a target error; for a fit what
/// is kept exactly; for low rank its kind, and the rank of an SVD or the degree of features. And the device that computes.
#pragma once

#include "panels/ui.h"
#include "state/device_choice.h"
#include "state/error_curve.h"
#include "state/session.h"

#include <array>
#include <cstdint>
#include <optional>

namespace convscope {

class ParametersPanel {
 public:
  enum Row : std::uint8_t { k, eps, delta, T, band, columns, rank, degree, n, row_count };

  /// `curve` says which k the target error needs, and is told the target. Returns the device that was chosen.
  std::optional<DeviceWish> draw(Session& session, ErrorCurve& curve, const DeviceChoice& devices);
  /// Where the slider of a row was last drawn, in screen pixels: lessons point at it, tests drag it.
  ImVec4 slider_rectangle(Row row) const { return rectangles_[row]; }

 private:
  /// Where the parts of a line stand, in pixels from the panel's edge. A narrow panel has no room for names; tooltips have them
  /// too.
  struct Columns {
    float name = 0.0F, slider = 0.0F, slider_width = 0.0F, number_width = 0.0F;
    float choices = 0.0F;  ///< where the sliders are, or further left so that the longest row of choices fits
    bool named = true;
  };
  static Columns find_columns();
  /// One line: name, slider, number. True when `value` changed.
  bool draw_row(Row row, double& value, const SliderScale& scale);
  void draw_whole(Row row, Index& target, const SliderScale& scale);
  void draw_number(Row row, double& value, bool& changed);
  void draw_method(AnalysisRequest& request) const;
  void draw_recover_rows(AnalysisRequest& request);
  void draw_fit_rows(AnalysisRequest& request);
  /// The widths of the head's keys and values: the number of features is said before they are made.
  void draw_rank_rows(AnalysisRequest& request, Index width, Index value_width);
  void draw_search(AnalysisRequest& request) const;
  std::optional<DeviceWish> draw_device(const DeviceChoice& devices) const;
  /// A dimmed word where the names of the rows stand; choices follow it, below those of other rows.
  void draw_name(const char* word) const;
  void draw_target(AnalysisRequest& request, ErrorCurve& curve);
  /// Sets k to the smallest one below the target while the user wants that, until k is set by hand.
  void follow_target(AnalysisRequest& request, const ErrorCurve& curve);
  static void draw_threshold(const AnalysisRequest& request);

  std::array<ImVec4, row_count> rectangles_{};
  bool follow_ = false;   ///< k follows the target error
  Index followed_k_ = 0;  ///< the k that was set so
  int typing_ = -1;       ///< the row whose number should get the keyboard
  Columns columns_;
};

}  // namespace convscope
