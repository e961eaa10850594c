/// \file
/// Starts of segments, dragged by hand to try a segmentation.
#pragma once

#include "basis/conv_basis.h"
#include "panels/map_layout.h"
#include "state/map_view.h"

#include <vector>

namespace convscope {

/// Wishes go to MapView::starts_wish. Window thread only.
class MapStarts {
 public:
  /// Handles on the marks under the map of the basis. The mark that is dragged moves at once, whatever the basis still says.
  void steer(const convbasis::ConvBasis<float>& basis, const MapFrame& frame, MapView& view);
  /// Menu entries to start a segment at `column`, to remove the one it lies in, and to go back to what Recover finds.
  static void draw_menu(const convbasis::ConvBasis<float>& basis, convbasis::Index column, MapView& view);

 private:
  std::vector<convbasis::Index> dragged_;  ///< the starts while one of them is dragged; empty else
};

}  // namespace convscope
