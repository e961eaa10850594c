/// \file
/// "Go to (i, j)": a dialog for two numbers.
#pragma once

#include "state/map_view.h"

namespace convscope {

/// Window thread only.
class GoToDialog {
 public:
  static constexpr const char* window_name = "Go to a cell###go_to";

  void open() { wanted_ = true; }
  /// Draws it while it is open; the maps are of n x n cells.
  void draw(convbasis::Index n, MapView& view);

 private:
  bool wanted_ = false;
  CellIndex cell_;
};

}  // namespace convscope
