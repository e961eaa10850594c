/// \file
/// Gradients as maps side by side: all gradients on one colour scale around zero, their differences to the exact one on another.
#pragma once

#include "gl/objects.h"
#include "state/gradient_picture.h"
#include "state/training_request.h"

#include <imgui.h>

#include <optional>
#include <string>
#include <vector>

namespace convscope {

/// One backward pass' gradient, pooled (pooled_peaks), with its difference to the exact gradient at the same place.
struct GradientMap {
  Backward backward = Backward::exact;
  convbasis::Matrix<float> gradient;
  convbasis::Matrix<float> difference;  ///< empty where there is no exact gradient to compare with, and for that itself
  double error = 0.0;                   ///< ||g − exact||_F / ||exact||_F
  Index rows = 0, columns = 0;          ///< of the gradient before it was pooled
};

/// Owns a texture; window thread only.
class GradientMaps {
 public:
  /// A map has at most so many cells a side; more are pooled.
  static constexpr Index most_cells = 256;

  /// Replaces the maps, which are coloured anew at once: some milliseconds.
  void set(std::vector<GradientMap> maps);
  bool empty() const { return maps_.empty(); }
  /// Draws them into `room` pixels from the cursor on: gradients above, differences below. `row_name` and `column_name` are what
  /// the indices are called in the tooltip.
  void draw(ImVec2 room, const char* row_name, const char* column_name) const;

 private:
  struct Scales {
    double gradient = 0.0, difference = 0.0;  ///< the largest magnitudes
  };

  void colour();
  void draw_row(bool differences, float side, float gap, const char* row_name, const char* column_name) const;
  void draw_map(std::size_t place, bool difference, float side, const char* row_name, const char* column_name) const;

  std::vector<GradientMap> maps_;
  Scales limits_;
  std::optional<gl::PictureAtlas> atlas_;  ///< gradients, then differences
};

}  // namespace convscope
